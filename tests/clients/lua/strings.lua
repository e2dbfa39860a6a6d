-- Strings of every length, built, cut, searched and formatted.
if MODE == "stress" then collectgarbage("setpause", 105) else collectgarbage(MODE) end

local parts = {}
for i = 1, 20000 do
    parts[#parts + 1] = string.format("%05d:%s", i, string.rep(string.char(97 + i % 26), i % 40))
end
local text = table.concat(parts, ",")
local count, total = 0, 0
for number, letters in text:gmatch("(%d+):(%a*)") do
    count = count + 1
    total = total + #letters
    assert(tonumber(number) == count)
end
assert(count == 20000 and total == 390000)

-- Growth by concatenation: every step is a new block.
local line = ""
for i = 1, 2000 do
    line = line .. i .. ";"
end
assert(#line == 8893)
assert(select(2, line:gsub("%d+;", "")) == 2000)

-- Lengths around those at which a heap changes its ways.
for _, size in ipairs { 15, 16, 17, 127, 128, 129, 4095, 4096, 32767, 32768, 32769, 65536, 1000000 } do
    local long = string.rep("x", size)
    assert(#long == size and #long:upper() == size and long:byte(size) == 120)
end

local packed = {}
for i = 1, 1000 do
    packed[i] = string.pack("<I4s2d", i, "name" .. i, i / 3)
end
for i = 1, 1000 do
    local number, name, third = string.unpack("<I4s2d", packed[i])
    assert(number == i and name == "name" .. i and third == i / 3)
end
