-- Tables that grow, shrink, are sorted, nested and shared.
if MODE == "stress" then collectgarbage("setpause", 105) else collectgarbage(MODE) end

-- A heap, to sort with, beside the library's own sort.
local function heap_sort(list)
    local function sift(first, last)
        local root = first
        while root * 2 <= last do
            local child = root * 2
            if child < last and list[child] < list[child + 1] then child = child + 1 end
            if list[root] >= list[child] then return end
            list[root], list[child] = list[child], list[root]
            root = child
        end
    end
    for first = #list // 2, 1, -1 do sift(first, #list) end
    for last = #list, 2, -1 do
        list[1], list[last] = list[last], list[1]
        sift(1, last - 1)
    end
end

local seed = 1
local function random(bound)
    seed = (seed * 1103515245 + 12345) % 2147483648
    return seed % bound
end

local a, b = {}, {}
for i = 1, 20000 do
    a[i] = random(1000000)
    b[i] = a[i]
end
table.sort(a)
heap_sort(b)
for i = 1, #a do assert(a[i] == b[i]) end

-- Keys that come and go, so that the table is made anew again and again.
local set, size = {}, 0
for i = 1, 100000 do
    local key = "key" .. random(3000)
    if set[key] then
        set[key] = nil
        size = size - 1
    else
        set[key] = { key, i }
        size = size + 1
    end
end
local seen = 0
for key, value in pairs(set) do
    assert(value[1] == key)
    seen = seen + 1
end
assert(seen == size)

-- The primes below 100000, by a sieve.
local composite, primes = {}, 0
for i = 2, 100000 do
    if not composite[i] then
        primes = primes + 1
        for j = i * i, 100000, i do composite[j] = true end
    end
end
assert(primes == 9592)

-- A queue that is never long, but passes through many places.
local queue, first, last = {}, 1, 0
for i = 1, 50000 do
    last = last + 1
    queue[last] = i
    if i % 3 ~= 0 then
        assert(queue[first] == first)
        queue[first] = nil
        first = first + 1
    end
end
