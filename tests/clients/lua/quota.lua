-- Memory runs out, the error is caught, and everything works as before: many times over.
for round = 1, 5 do
    local good, message = pcall(function()
        local hoard = {}
        for i = 1, 1e9 do
            hoard[i] = string.rep("x", (i % 40) * 50) .. i
        end
    end)
    assert(not good and message == "not enough memory", message)
    collectgarbage()
    collectgarbage()
    local list = {}
    for i = 1, 1000 do list[i] = { tostring(i) } end
    assert(list[1000][1] == "1000")
end

-- One block that is too large by itself.
for _ = 1, 100 do
    local good, message = pcall(string.rep, "x", 64 << 20)
    assert(not good and message == "not enough memory", message)
end
