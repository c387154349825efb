-- Compare and set. KEYS[1] is a family; ARGV[1] how its value must begin: with the version and revision that the
-- writer has read; ARGV[2] the new value, or nothing to delete it; ARGV[3] how long it is kept, in milliseconds.
-- Answers 1 if that was done, nothing if there is no family, and otherwise with the family that is there.
local found = redis.call('GET', KEYS[1])
if not found then
    return false
end
if string.sub(found, 1, string.len(ARGV[1])) ~= ARGV[1] then
    return found
end
if ARGV[2] == '' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
