-- Functions that hold what made them, and objects by metatables.
if MODE == "stress" then collectgarbage("setpause", 105) else collectgarbage(MODE) end

local function counter(step)
    local count = 0
    return function()
        count = count + step
        return count
    end, function() return count end
end

local total = 0
for i = 1, 5000 do
    local step, look = counter(i)
    step()
    step()
    total = total + look()
end
assert(total == 5000 * 5001)

-- The composition of a long chain of functions.
local chain = function(x) return x end
for i = 1, 150 do
    local inner = chain
    chain = function(x) return inner(x) + i end
end
assert(chain(0) == 11325)

local Stack = {}
Stack.__index = Stack
Stack.__len = function(self) return self.size end
Stack.__add = function(x, y)
    local sum = setmetatable({ size = 0 }, Stack)
    for i = 1, #x do sum:push(x[i]) end
    for i = 1, #y do sum:push(y[i]) end
    return sum
end
function Stack:push(value)
    self.size = self.size + 1
    self[self.size] = value
end
for _ = 1, 300 do
    local one, other = setmetatable({ size = 0 }, Stack), setmetatable({ size = 0 }, Stack)
    for i = 1, 50 do
        one:push(function() return i end)
        other:push({ i })
    end
    local both = one + other
    assert(#both == 100 and both[50]() == 50 and both[100][1] == 50)
end

-- Programs that write programs.
for i = 1, 500 do
    local chunk = assert(load("local a, b = ... ; return function() return a * b + " .. i .. " end"))
    assert(chunk(i, 2)() == 3 * i)
end

-- Errors unwind, and what was on the way is garbage.
for i = 1, 2000 do
    local good, message = pcall(function()
        local list = { i, tostring(i), { i } }
        error({ code = list[1] })
    end)
    assert(not good and message.code == i)
end
