-- The collector itself: weak tables, finalizers, cycles, and a full collection at any moment.
if MODE == "stress" then collectgarbage("setpause", 105) else collectgarbage(MODE) end

local closed = 0
local Resource = { __gc = function() closed = closed + 1 end }
for i = 1, 3000 do
    local one = setmetatable({ name = "resource" .. i }, Resource)
    local other = setmetatable({ partner = one }, Resource)
    one.partner = other
    if i % 500 == 0 then collectgarbage() end
end
collectgarbage()
collectgarbage()
assert(closed == 6000)

local cache = setmetatable({}, { __mode = "v" })
local kept = {}
for i = 1, 5000 do
    cache[i] = { i }
    if i % 10 == 0 then kept[i] = cache[i] end
end
collectgarbage()
local left = 0
for i, value in pairs(cache) do
    assert(value == kept[i])
    left = left + 1
end
assert(left == 500)

local names = setmetatable({}, { __mode = "k" })
for i = 1, 5000 do names[{}] = "gone" .. i end
collectgarbage()
assert(next(names) == nil)

-- Memory comes down again.
local before = collectgarbage("count")
local big = {}
for i = 1, 50000 do big[i] = { tostring(i) } end
assert(collectgarbage("count") > before + 1000)
big = nil
collectgarbage()
collectgarbage()
assert(collectgarbage("count") < before + 500)

-- Small steps all along.
collectgarbage("stop")
local tree = nil
for i = 1, 20000 do
    tree = { left = tree, value = i, right = i % 7 == 0 and {} or nil }
    if i % 1000 == 0 then tree = nil end
    collectgarbage("step", 1)
end
collectgarbage("restart")
