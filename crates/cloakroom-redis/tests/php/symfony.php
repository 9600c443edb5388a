<?php
// What Symfony's session storage does, step by step: bags in variables of PHP's, and its own handler where OWN_HANDLER says so.
final class RedisSessionHandler implements SessionHandlerInterface, SessionUpdateTimestampHandlerInterface
{
    private Redis $redis;
    private ?string $prefetchedId = null;
    private string $prefetched = '';

    public function open(string $path, string $name): bool
    {
        $this->redis = new Redis();
        $server = parse_url($path);
        return $this->redis->connect($server['host'], $server['port']);
    }

    public function validateId(string $id): bool
    {
        $this->prefetched = $this->read($id);
        $this->prefetchedId = $id;
        return $this->prefetched !== '';
    }

    public function read(string $id): string
    {
        if ($this->prefetchedId === $id) {
            $this->prefetchedId = null;
            return $this->prefetched;
        }
        return (string) $this->redis->get('sf_s' . $id);
    }

    public function write(string $id, string $data): bool
    {
        // An empty session, in either format.
        if ($data === '' || $data === "\0\0\0\2\x14\0") {
            return $this->destroy($id);
        }
        return $this->redis->setEx('sf_s' . $id, (int) ini_get('session.gc_maxlifetime'), $data);
    }

    public function updateTimestamp(string $id, string $data): bool
    {
        return $this->redis->expire('sf_s' . $id, (int) ini_get('session.gc_maxlifetime'));
    }

    public function destroy(string $id): bool
    {
        $this->redis->unlink('sf_s' . $id);
        return true;
    }

    public function close(): bool { return true; }

    public function gc(int $lifetime): int|false { return 0; }
}

function start()
{
    if (OWN_HANDLER) {
        session_set_save_handler(new RedisSessionHandler(), false);
    }
    session_start();
    load();
    global $flashes;
    if (isset($_GET['flash'])) {
        $flashes['notice'][] = 'Saved.';
    }
    if (isset($_GET['flashes'])) {
        $told = json_encode($flashes);
        $flashes = [];
        finish();
        exit($told);
    }
}

// Each bag is a reference that the session shares with its object. The page works on the attributes.
function load()
{
    global $all;
    $all = $_SESSION;
    foreach (['_sf2_attributes' => 'attributes', '_symfony_flashes' => 'flashes', '_sf2_meta' => 'meta'] as $key => $bag) {
        $all[$key] ??= [];
        $GLOBALS[$bag] = &$all[$key];
    }
    global $attributes, $meta;
    if (isset($meta['c'])) {
        $meta['u'] = time();
    } else {
        $meta['c'] = $meta['u'] = time();
        $meta['l'] = (int) ini_get('session.cookie_lifetime');
    }
    $_SESSION = $attributes;
}

function finish()
{
    global $all, $attributes;
    $attributes = $_SESSION;
    foreach (['_sf2_attributes', '_symfony_flashes'] as $key) {
        if (!$all[$key]) {
            unset($all[$key]);
        }
    }
    $_SESSION = $all;
    session_write_close();
}

function change_id()
{
    session_regenerate_id(true);
}

function log_out()
{
    global $all;
    $_SESSION = $all = [];
    load();
    session_regenerate_id(true);
    finish();
}
