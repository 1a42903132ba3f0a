-- The library: patterns, formatting, pack, utf8, tables, numbers, files, loading of compiled chunks.
for k, v in ("a=1, b=22, c=333"):gmatch("(%w+)=(%w+)") do io.write(k, v, ";") end print()
print(("hello world"):find("o w"), ("hello"):match("^(h)(.-)(o)$"), ("x"):rep(5, "-"), ("%5.2f|%-6s|%06d|%x|%q"):format(3.14159, "ab", 42, 255, 'a"\n'))
print(("THE (quick) fox"):find("%((%a+)%)"), ("abc"):byte(1, -1), ("%bxy"):len(), ("f(a(b)c)d"):match("%b()"), (" trim "):match("^%s*(.-)%s*$") .. "|")
print(("abc"):gsub("", "-"), ("hello"):gsub("l", { l = "L" }), ("abc"):gsub("%w", "%0%0", 2), ("x^2"):gsub("%^", "**"))
print(string.pack("<i4 z s1 d", 7, "zero", "one", 1.5):byte(1, -1)); print(string.unpack("<i4 z s1 d", string.pack("<i4 z s1 d", 7, "zero", "one", 1.5)))
print(utf8.char(72, 228, 8364, 128512), utf8.len("häß€"), utf8.codepoint("€", 1)); for p, c in utf8.codes("aé€") do io.write(p, ":", c, " ") end print()
local t = { 5, 2, 8, 1, 9, 3, 7, 4, 6, 0 }
table.sort(t); print(table.concat(t, " ")); table.sort(t, function(a, b) return a > b end); print(table.concat(t, " "))
table.insert(t, 1, 42); table.insert(t, 43); print(table.remove(t, 2), table.remove(t), #t, table.unpack(t, 1, 3)); print(table.concat(table.move({ 1, 2, 3 }, 1, 3, 2), ","))
print(pcall(table.sort, { 3, 1, "x" })); print(math.type(1), math.type(1.0), math.tointeger(3.0), 10 // 3, 10.0 // 3, 2 ^ 10, 7 & 3, 7 | 8, 7 ~ 2, ~0, 1 << 62, math.ult(1, -1))
print(tonumber("0x1p4"), tonumber("z", 36), tonumber("1e1"), tonumber("abc"), tostring(0x7fffffffffffffff), 3 | 0, string.format("%a", 1.0), 0.1 + 0.2 == 0.3)
local name = os.tmpname(); local f <close> = assert(io.open(name, "w+"))
for i = 1, 20 do f:write(i, " line ", i * i, "\n") end f:seek("set", 0)
local sum = 0 for line in f:lines() do sum = sum + tonumber(line:match("(%d+)$")) end print(sum, f:seek("end"), f:seek("set", 3), f:read("l"), f:read("n"), f:read(6)); f:setvbuf("full", 64); os.remove(name)
local chunk = string.dump(function(a, b) local r = {} for i = a, b do r[#r + 1] = i % 3 == 0 and "fizz" or i end return table.concat(r, " ") end)
print(load(chunk, "dumped", "b")(1, 12)); print(load("local t = {...} return function() return #t end")(1, 2, 3)())
local env = { print = print }; load("x = 5; print(x)", "e", "t", env)(); print(env.x, x)
local parts = {} for word in io.lines(arg[0]) do parts[#parts + 1] = #word end print(#parts)
print(require("string") == string, package.loaded.math == math, pcall(require, "no.such.module") == false)
local info = debug.getinfo(1, "Sl"); print(info.what, info.currentline)
local hooked = 0; debug.sethook(function() hooked = hooked + 1 end, "l"); for i = 1, 5 do local _ = i end debug.sethook(); print(hooked > 0)
local p = io.popen("echo from a child; cat /dev/null"); print(p:read("a")); print(p:close()); print(os.time { year = 2001, month = 9, day = 9, hour = 12 } > 1e9 - 1e5, os.date("!%Y-%m-%d", 0), os.getenv("NO_SUCH_NAME"))
-- A program in the small: eight queens, a matrix, a sieve, a string builder.
local function queens(n)
  local solutions, rows = 0, {}
  local function safe(c, r) for k = 1, c - 1 do if rows[k] == r or math.abs(rows[k] - r) == c - k then return false end end return true end
  local function place(c) if c > n then solutions = solutions + 1 return end for r = 1, n do if safe(c, r) then rows[c] = r; place(c + 1) end end end
  place(1) return solutions
end
print(queens(5))
local sieve, primes = {}, {} for i = 2, 200 do if not sieve[i] then primes[#primes + 1] = i for j = i * i, 200, i do sieve[j] = true end end end print(#primes, primes[#primes])
