-- Ends somebody's turn, if it still is theirs.
-- KEYS: the turn. ARGV: whose.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
