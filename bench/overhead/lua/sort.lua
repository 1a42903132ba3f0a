local seed = 42
local function random() seed = (seed * 1103515245 + 12345) % 2147483648 return seed end
local t = {}
for i = 1, 5000 do t[i] = random() end
table.sort(t)
local u = {}
for i = 1, 2500 do u[i] = { key = random() % 1000, id = i } end
table.sort(u, function(a, b) if a.key ~= b.key then return a.key < b.key end return a.id < b.id end)
print(t[1], t[#t], u[1].key, u[#u].id)
