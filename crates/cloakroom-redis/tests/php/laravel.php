<?php
// What Laravel does with a session in Redis, step by step: the cookie, the key, the value, the lock. SETTINGS is defined before this.
class Node { public $name; protected $hidden = 'h'; private $secret = 's'; public $next; public function __construct($name) { $this->name = $name; } }
enum Size: string { case Small = 's'; case Large = 'l'; }

final class Encrypter
{
    public function __construct(private string $cipher, private array $keys) {}

    public function keys(): array { return $this->keys; }

    public function encrypt(string $value): string
    {
        $iv = random_bytes(openssl_cipher_iv_length($this->cipher));
        $aead = str_ends_with($this->cipher, 'gcm');
        $tag = '';
        $value = $aead
            ? openssl_encrypt($value, $this->cipher, $this->keys[0], 0, $iv, $tag)
            : openssl_encrypt($value, $this->cipher, $this->keys[0], 0, $iv);
        [$iv, $tag] = [base64_encode($iv), base64_encode($tag)];
        $mac = $aead ? '' : hash_hmac('sha256', $iv . $value, $this->keys[0]);
        return base64_encode(json_encode(compact('iv', 'value', 'mac', 'tag'), JSON_UNESCAPED_SLASHES));
    }

    public function decrypt(string $sealed): ?string
    {
        $sealed = json_decode(base64_decode($sealed), true);
        if (!is_array($sealed) || !isset($sealed['iv'], $sealed['value'], $sealed['mac'])) {
            return null;
        }
        $aead = str_ends_with($this->cipher, 'gcm');
        foreach ($this->keys as $key) {
            if (!$aead && !hash_equals(hash_hmac('sha256', $sealed['iv'] . $sealed['value'], $key), $sealed['mac'])) {
                continue;
            }
            $opened = openssl_decrypt($sealed['value'], $this->cipher, $key, 0, base64_decode($sealed['iv']), base64_decode($sealed['tag'] ?? ''));
            if ($opened !== false) {
                return $opened;
            }
        }
        return null;
    }
}

final class Session
{
    public array $attributes = [];
    private ?string $lock = null;

    public function __construct(private Redis $redis, private Encrypter $encrypter, public string $id)
    {
        if (SETTINGS['block']) {
            $this->block();
        }
        $this->attributes = $this->read();
        $this->attributes['_token'] ??= $this->random(40);
    }

    public static function random(int $length): string
    {
        $letters = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
        return implode('', array_map(fn() => $letters[random_int(0, 61)], range(1, $length)));
    }

    private function block(): void
    {
        $owner = self::random(16);
        for ($began = microtime(true); !$this->redis->set($this->lockName(), $owner, ['EX' => 10, 'NX']); usleep(50_000)) {
            if (microtime(true) - $began > 30) {
                throw new Exception('the lock is not free');
            }
        }
        $this->lock = $owner;
    }

    private function lockName(): string { return SETTINGS['prefix'] . 'session:' . $this->id; }

    private function read(): array
    {
        $text = @unserialize((string) $this->redis->get(SETTINGS['prefix'] . $this->id));
        if (is_string($text) && SETTINGS['encrypt']) {
            $opened = $this->encrypter->decrypt($text);
            $text = $opened === null ? null : @unserialize($opened);
        }
        $read = is_string($text) ? (SETTINGS['json'] ? json_decode($text, true) : @unserialize($text)) : null;
        return is_array($read) ? $read : [];
    }

    public function migrate(): void
    {
        $this->redis->del(SETTINGS['prefix'] . $this->id);
        $this->id = self::random(40);
    }

    public function save(): void
    {
        // Flash data lives for one request more.
        foreach ($this->attributes['_flash']['old'] ?? [] as $key) {
            unset($this->attributes[$key]);
        }
        $this->attributes['_flash'] = ['old' => $this->attributes['_flash']['new'] ?? [], 'new' => []];
        $text = SETTINGS['json'] ? json_encode($this->attributes) : serialize($this->attributes);
        if (SETTINGS['encrypt']) {
            $text = $this->encrypter->encrypt(serialize($text));
        }
        $this->redis->setex(SETTINGS['prefix'] . $this->id, 7200, serialize($text));
    }

    public function unblock(string $id): void
    {
        if ($this->lock !== null) {
            $script = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end";
            $this->redis->eval($script, [SETTINGS['prefix'] . 'session:' . $id, $this->lock], 1);
        }
    }
}

$keys = array_map('base64_decode', SETTINGS['keys']);
// Before the key was changed.
$encrypter = new Encrypter(SETTINGS['cipher'], isset($_GET['old']) ? [end($keys)] : $keys);
$name = SETTINGS['cookie'];
$id = null;
if (isset($_COOKIE[$name])) {
    $value = $encrypter->decrypt($_COOKIE[$name]);
    foreach ($encrypter->keys() as $key) {
        if ($value !== null && str_starts_with($value, hash_hmac('sha1', $name . 'v2', $key) . '|')) {
            $id = substr($value, 41);
        }
    }
}
if (!is_string($id) || strlen($id) !== 40 || !ctype_alnum($id)) {
    $id = Session::random(40);
}

$redis = new Redis();
$redis->connect('127.0.0.1', SETTINGS['port']);
$session = new Session($redis, $encrypter, $id);
$user = 'login_web_' . sha1('Illuminate\Auth\SessionGuard');
$key = $_GET['key'] ?? '';
$answer = null;
switch ($_GET['do'] ?? 'read') {
    case 'read':
        $answer = $session->attributes[$key] ?? null;
        break;
    case 'id':
        $answer = $session->id;
        break;
    case 'user':
        $answer = $session->attributes[$user] ?? null;
        break;
    case 'set':
        $session->attributes[$key] = json_decode($_GET['value'], true);
        break;
    case 'add':
        $session->attributes['n'] = ($session->attributes['n'] ?? 0) + 1;
        usleep(2000);
        break;
    case 'flash':
        $session->attributes['status'] = 'Saved.';
        $session->attributes['_flash']['new'][] = 'status';
        break;
    case 'login':
        $session->attributes[$user] = 7;
        $session->migrate();
        $session->attributes['_token'] = Session::random(40);
        break;
    case 'regenerate':
        $session->migrate();
        break;
    case 'logout':
        $session->attributes = [];
        $session->migrate();
        break;
    case 'objects':
        $a = new Node('a');
        $a->next = new Node('b');
        $a->next->next = $a;
        $shared = ['x' => 1];
        $session->attributes['node'] = $a;
        $session->attributes['size'] = Size::Large;
        $session->attributes['one'] = &$shared;
        $session->attributes['two'] = &$shared;
        break;
    case 'intact':
        $node = $session->attributes['node'];
        $session->attributes['one']['x'] = 5;
        $answer = $node instanceof Node && $node->name === 'a' && $node->next instanceof Node && $node->next->next === $node
            && str_contains(print_r($node, true), 'secret') && $session->attributes['size'] === Size::Large
            && $session->attributes['two']['x'] === 5;
        break;
}
$session->save();
$session->unblock($id);
setcookie($name, $encrypter->encrypt(hash_hmac('sha1', $name . 'v2', $encrypter->keys()[0]) . '|' . $session->id), [
    'expires' => time() + 7200, 'path' => '/', 'httponly' => true, 'samesite' => 'lax',
]);
echo json_encode($answer);
