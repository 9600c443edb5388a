<?php
// amphp/http-server-session: RedisSessionStorage with CompressingSerializer(NativeSerializer), and RedisMutex where MUTEX is set; Phenix is the same.
function is_id(string $id): bool
{
    return preg_match('/^[A-Za-z0-9_-]{48}$/D', $id) === 1;
}

function new_id(): string
{
    return strtr(base64_encode(random_bytes(36)), '+/', '-_');
}

function fetch(string $id): array
{
    $stored = redis()->get('session:' . $id);
    if ($stored === false) {
        return [];
    }
    $text = substr($stored, 1);
    $data = unserialize(ord($stored[0]) & 1 ? gzinflate($text) : $text);
    redis()->expire('session:' . $id, 3600);
    return $data;
}

function store(string $id, array $data): void
{
    if ($data === []) {
        drop($id);
        return;
    }
    $text = serialize($data);
    $stored = strlen($text) > 256 ? "\1" . gzdeflate($text, 1) : "\0" . $text;
    redis()->set('session:' . $id, $stored, ['ex' => 3600]);
}

function drop(string $id): void
{
    redis()->del('session:' . $id);
}

// The mutex: a lock with an owner for three seconds, and a queue of those who wait.
const TAKE = <<<'LUA'
local function take(who) redis.call('set', KEYS[1], who, 'px', 3000) end
local at = 0
for n, who in ipairs(redis.call('lrange', KEYS[2], 0, -1)) do if who == ARGV[1] then at = n end end
local held = redis.call('get', KEYS[1])
if held == ARGV[1] then take(held) return 1 end
if at == 0 and (held or redis.call('llen', KEYS[2]) > 0) then redis.call('rpush', KEYS[2], ARGV[1]) end
if not held then
  local who = redis.call('lpop', KEYS[2]) or ARGV[1]
  take(who)
  if who == ARGV[1] then return 1 end
end
redis.call('pexpire', KEYS[2], 13000)
return 0
LUA;

function lock(string $id): void
{
    global $tokens;
    if (!MUTEX) {
        return;
    }
    $tokens[$id] = base64_encode(random_bytes(16));
    $began = microtime(true);
    while (redis()->eval(TAKE, ['lock:' . $id, 'lock-queue:' . $id, $tokens[$id]], 2) !== 1) {
        if (microtime(true) - $began > 10) {
            throw new RuntimeException('no lock within ten seconds');
        }
        usleep(5000);
    }
}

function unlock(string $id): void
{
    global $tokens;
    if (MUTEX) {
        redis()->eval("if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0", ['lock:' . $id, $tokens[$id]], 1);
    }
}
