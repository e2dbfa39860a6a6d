-- Thousands of stacks, each a block of its own that grows.
if MODE == "stress" then collectgarbage("setpause", 105) else collectgarbage(MODE) end

local function permutations(list, n)
    n = n or #list
    if n <= 1 then
        coroutine.yield(list)
    else
        for i = 1, n do
            list[n], list[i] = list[i], list[n]
            permutations(list, n - 1)
            list[n], list[i] = list[i], list[n]
        end
    end
end
local found = {}
for list in coroutine.wrap(function() permutations { "a", "b", "c", "d", "e", "f", "g" } end) do
    found[table.concat(list)] = true
end
local count = 0
for _ in pairs(found) do count = count + 1 end
assert(count == 5040)

-- A pipe of generators.
local function numbers(last)
    return coroutine.wrap(function()
        for i = 1, last do coroutine.yield(i) end
    end)
end
local function without(factor, source)
    return coroutine.wrap(function()
        for i in source do
            if i == factor or i % factor ~= 0 then coroutine.yield(i) end
        end
    end)
end
local source = numbers(5000)
for _, factor in ipairs { 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67 } do
    source = without(factor, source)
end
local primes = 0
for _ in source do primes = primes + 1 end
assert(primes == 670)

-- Half of them are never finished, and some are deep.
local function dive(depth)
    if depth == 0 then return coroutine.yield(depth) end
    return dive(depth - 1) + 1
end
local unfinished = {}
for i = 1, 2000 do
    local thread = coroutine.create(dive)
    assert(coroutine.resume(thread, i % 150))
    if i % 2 == 0 then
        local good, depth = coroutine.resume(thread, 0)
        assert(good and depth == i % 150)
    else
        unfinished[i % 100] = thread
    end
end
for _, thread in pairs(unfinished) do assert(coroutine.status(thread) == "suspended") end
