-- Errors: pcall, xpcall with handlers and tracebacks, error objects, to-be-closed variables, goto, overflow of the stack.
print(pcall(error, "plain", 0)); print(pcall(error)); print(pcall(error, { 1 }) == false)
print(select(2, pcall(function() error("with position") end)))
print(select(2, pcall(function() error("of the caller", 2) end)))
local function level(n) if n == 0 then error({ depth = "bottom" }) end level(n - 1) end
for n = 0, 40, 8 do local ok, e = pcall(level, n); io.write(tostring(ok), ":", e.depth, " ") end
print()
print(xpcall(level, function(e) return "handled " .. e.depth end, 12))
print(xpcall(function() local x = nil + 1 end, function(m) return (m:gsub("^.-:%d+: ", "")) end))
print((xpcall(level, debug.traceback, 3)))
print(select(2, xpcall(function() error("trace") end, debug.traceback)):match("^[^\n]*\nstack traceback:") ~= nil)
print(pcall(pcall, error, "nested"))
-- An error within the handler; an error object with a metatable.
print(xpcall(function() error("first") end, function() error("second") end) == false)
local E = setmetatable({}, { __tostring = function() return "an object" end })
print(tostring(select(2, pcall(error, E))))
-- Retry with state that must survive.
local attempts = {}
local function flaky(n) attempts[#attempts + 1] = n; if n < 5 then error("try " .. n) end return "done at " .. n end
local result
for n = 1, 10 do local ok, value = pcall(flaky, n); if ok then result = value break end end
print(result, table.concat(attempts, ","))
-- Variables to be closed, in reverse, with the error that is under way.
local function guard(name) return setmetatable({}, { __close = function(_, e) print("close", name, e and tostring(e):match("[^:]*$")) end }) end
print(pcall(function() local a <close> = guard("a"); local b <close> = guard("b"); error("boom", 0) end))
do local c <close> = guard("c"); goto out end
::out::
for i = 1, 3 do local d <close> = guard("d" .. i); if i == 2 then break end end
print((function() local e <close> = guard("e"); return "value" end)())
-- Overflows are errors too.

print((select(2, load("return " .. ("("):rep(220) .. "1")):gsub("^.*:%d+: ", "")))
local function within(n) if n > 12 then error("deep", 0) end return (("x"):gsub("x", function() return within(n + 1) end)) end
local ok, message = pcall(within, 1); print(ok, message)
local ok2, message2 = pcall(string.rep, "x", 1 << 60); print(ok2, message2)
print(pcall(string.format, "%d", 1.5)); print(pcall(setmetatable, 1, 2))
print(select(2, load("x = = 1")));  print(select(2, load("for i = 1 do end", "=chunk")))
print(pcall(load("local a <const> = 1; return a + 1"))); print(assert(load("return ...", "c", "t", {}))(1, 2))
print(pcall(next, {}, "no such key")); print(pcall(ipairs)); print(tostring(1e15), 2^53, 7 // 2, -7 // 2, 7 % -3, 1 / 0, math.maxinteger + 1 == math.mininteger)
