<?php
// One PHP process that reads, writes and makes up sessions for the tests, in the format of session.serialize_handler.
//
// Requests and answers are lists of texts: a 32-bit number of texts, and each with its 32-bit length before it. The first text of a request
// says what is to be done; STDIN's end ends the process.
declare(strict_types=1);

error_reporting(E_ALL & ~E_DEPRECATED);
$warnings = [];
set_error_handler(function (int $level, string $text) use (&$warnings): bool {
    if (error_reporting() & $level) {
        $warnings[] = $text;
    }
    return true;
});

enum Suit: string { case Hearts = 'H'; case Spades = 'S'; }
enum Plain { case One; case Two; }

#[AllowDynamicProperties]
class Node { public $next = null; }

class Account {
    public $name;
    protected $mail;
    private $id;
    public function fill($name, $mail, $id): void { [$this->name, $this->mail, $this->id] = [$name, $mail, $id]; }
}
// A private property of the same name beside the inherited one.
class Customer extends Account {
    private $id;
    public function number($id): void { $this->id = $id; }
}

class Packed {
    public array $items = [];
    public function __construct(array $items = []) { $this->items = $items; }
    public function __serialize(): array { return $this->items; }
    public function __unserialize(array $items): void { $this->items = $items; }
}

// Deprecated, and still what old sessions hold.
class Legacy implements Serializable {
    public function __construct(public string $data = '') {}
    public function serialize(): string { return $this->data; }
    public function unserialize(string $data): void { $this->data = $data; }
}

final class Nowhere implements SessionHandlerInterface {
    public function open(string $path, string $name): bool { return true; }
    public function close(): bool { return true; }
    public function read(string $id): string|false { return ''; }
    public function write(string $id, string $data): bool { return true; }
    public function destroy(string $id): bool { return true; }
    public function gc(int $max): int|false { return 0; }
}

/** Makes up sessions. What msgpack loses is left out there. */
final class Inventor {
    private const DEPTH = 4;
    private array $references = [];
    private array $objects = [];
    private array $arrays = [];
    private bool $toShare = false;
    public function __construct(private bool $treesOnly) {}

    public function session(): array {
        [$this->references, $this->objects, $this->arrays] = [[], [], []];
        $session = [];
        for ($n = mt_rand(0, 5); $n > 0; $n--) {
            $this->put($session, 'v' . mt_rand(0, 9) . ($this->chance(8) ? '_' . $this->name() : ''), self::DEPTH);
        }
        // Names that a format cannot carry are another test's matter.
        foreach (array_keys($session) as $name) {
            if (is_int($name) || str_contains($name, '|') || strlen($name) > 127) {
                unset($session[$name]);
            }
        }
        $this->references = [];
        return $session;
    }

    private function chance(int $oneIn): bool { return mt_rand(1, $oneIn) === 1; }

    private function bytes(int $length): string {
        $bytes = '';
        while (strlen($bytes) < $length) {
            $bytes .= chr(mt_rand(0, 255));
        }
        return $bytes;
    }

    private function put(array &$array, int|string $key, int $depth): void {
        unset($array[$key]); // or it would be assigned through a reference
        $refers = !$this->treesOnly && !$this->toShare;
        if ($refers && $this->references && $this->chance(12)) {
            $array[$key] = &$this->references[array_rand($this->references)];
        } elseif ($refers && $this->chance(12)) {
            $value = $this->value($depth);
            if (is_object($value)) {
                // One that no place holds by itself: PHP's own text makes every place of an object a reference that comes after one.
                $value = new Node;
                $value->next = $this->text();
            }
            $array[$key] = &$value;
            $this->references[] = &$value;
        } else {
            $array[$key] = $this->value($depth);
        }
    }

    private function name(): string {
        return match (mt_rand(0, 5)) {
            0 => (string) mt_rand(-20, 20),
            1 => $this->bytes(mt_rand(0, 3)),
            2 => "\u{e9}t\u{e9} " . mt_rand(0, 9),
            3 => '0' . mt_rand(0, 9),
            default => ['sku', 'qty', 'price', 'id', ''][mt_rand(0, 4)],
        };
    }

    private function text(): string {
        return match (mt_rand(0, 6)) {
            0 => '',
            1 => $this->name(),
            2 => $this->bytes(mt_rand(0, 40)),
            3 => str_repeat('ab"', mt_rand(0, 120)),
            4 => 'i:1;R:1;}|{s:3:"',
            default => ['new', 'paid', 'sku'][mt_rand(0, 2)],
        };
    }

    private function value(int $depth): mixed {
        if ($depth > 0 && $this->chance(3)) {
            return $this->chance(3) ? $this->object($depth - 1) : $this->array($depth - 1);
        }
        return match (mt_rand(0, 9)) {
            0 => null,
            1 => $this->chance(2),
            2 => mt_rand(-300, 300),
            3 => [PHP_INT_MAX, PHP_INT_MIN, 65535, -65536, 4294967295, -4294967296, 0][mt_rand(0, 6)],
            4 => unpack('q', $this->bytes(8))[1] >> mt_rand(0, 63),
            5 => [0.0, -0.0, 0.1, 1e15, 1e17, -1.5e-7, INF, -INF, 5e-324, PHP_FLOAT_MAX, 3.0][mt_rand(0, 10)],
            6 => $this->double(),
            default => $this->text(),
        };
    }

    private function double(): float {
        $double = unpack('d', $this->bytes(8))[1];
        // There is one NaN only in text.
        return is_nan($double) ? NAN : $double;
    }

    private function array(int $depth): array {
        // Two variables that share an array are left out: there the formats `php` and `php_binary` write one object as two.
        $shares = !$this->treesOnly && $depth < self::DEPTH - 1;
        if ($shares && $this->arrays && $this->chance(6)) {
            // A copy that shares memory until somebody writes.
            return $this->arrays[array_rand($this->arrays)];
        }
        // A reference that a shared array alone holds is one for serialize(), and none when igbinary has read it.
        $outer = $this->toShare;
        $this->toShare = $outer || ($shares && $this->chance(3));
        $array = [];
        $list = $this->chance(2);
        for ($n = $this->chance(20) ? mt_rand(10, 40) : mt_rand(0, 4); $n > 0; $n--) {
            $this->put($array, $list ? count($array) : $this->name(), $depth);
        }
        if ($this->toShare) {
            $this->arrays[] = $array;
        }
        $this->toShare = $outer;
        return $array;
    }

    private function object(int $depth): object {
        // An array that is in itself by way of an object is nothing that serialize() can say.
        if (!$this->treesOnly && !$this->toShare && $this->objects && $this->chance(4)) {
            return $this->objects[array_rand($this->objects)];
        }
        $kind = mt_rand(0, $this->treesOnly ? 4 : 7);
        switch ($kind) {
            case 0:
                $object = new Node;
                $this->objects[] = $object;
                $object->next = $this->value($depth);
                if ($this->chance(2)) {
                    $object->{'p' . mt_rand(0, 9)} = $this->value($depth);
                }
                return $object;
            case 1:
                $object = new stdClass;
                for ($n = mt_rand(0, 3); $n > 0; $n--) {
                    $object->{['a', 'b', 'sku'][mt_rand(0, 2)] . $n} = $this->value($depth);
                }
                break;
            case 2:
            case 3:
                $object = $kind === 2 ? new Account : new Customer;
                $object->fill($this->value($depth), $this->value($depth), $this->value($depth));
                if ($object instanceof Customer) {
                    $object->number($this->value(0));
                }
                break;
            case 4:
                $object = new Packed($this->array($depth));
                break;
            case 5:
                // Raw data, in which PHP counts nothing.
                return new Legacy('raw ' . mt_rand());
            case 6:
                return $this->chance(2) ? Suit::Hearts : Suit::Spades;
            default:
                return $this->chance(2) ? Plain::One : Plain::Two;
        }
        $this->objects[] = $object;
        return $object;
    }
}

function hear(): ?array {
    $head = read(4);
    if ($head === null) {
        return null;
    }
    $texts = [];
    for ($left = unpack('N', $head)[1]; $left > 0; $left--) {
        $texts[] = read(unpack('N', read(4))[1]);
    }
    return $texts;
}

function read(int $length): ?string {
    $text = '';
    while (strlen($text) < $length) {
        $more = fread(STDIN, $length - strlen($text));
        if ($more === false || $more === '') {
            return null;
        }
        $text .= $more;
    }
    return $text;
}

function say(array $texts): void {
    $out = pack('N', count($texts));
    foreach ($texts as $text) {
        $out .= pack('N', strlen($text)) . $text;
    }
    for ($done = 0; $done < strlen($out);) {
        $done += fwrite(STDOUT, $done ? substr($out, $done) : $out);
    }
}

/** What PHP complained of since the last time. */
function complaints(): string {
    global $warnings;
    $text = implode('; ', $warnings);
    $warnings = [];
    return $text;
}

function start(): void {
    if (session_status() !== PHP_SESSION_ACTIVE) {
        session_id('test');
        session_start(['use_cookies' => 0, 'use_only_cookies' => 0, 'cache_limiter' => '']);
    }
}

/** What amphp's CompressingSerializer does. */
function amp_wrap(mixed $data): string {
    $text = serialize($data);
    return strlen($text) > 256 ? "\1" . gzdeflate($text, 1) : "\0" . $text;
}

function amp_unwrap(string $payload): mixed {
    $text = substr($payload, 1);
    return unserialize(ord($payload[0]) & 1 ? gzinflate($text) : $text);
}

/** What Laravel's session, encrypter and cache do, one around the other. `$kind` is `php` or `json`, and a cipher behind a comma. */
function laravel_wrap(string $kind, string $key, array $data): string {
    [$serialization, $cipher] = explode(',', $kind . ',');
    $text = $serialization === 'json' ? json_encode($data) : serialize($data);
    if ($cipher !== '') {
        $iv = random_bytes(openssl_cipher_iv_length($cipher));
        $tag = '';
        $gcm = str_ends_with($cipher, 'gcm');
        $value = $gcm
            ? openssl_encrypt(serialize($text), $cipher, $key, 0, $iv, $tag)
            : openssl_encrypt(serialize($text), $cipher, $key, 0, $iv);
        [$iv, $tag] = [base64_encode($iv), base64_encode($tag)];
        $mac = $gcm ? '' : hash_hmac('sha256', $iv . $value, $key);
        $text = base64_encode(json_encode(compact('iv', 'value', 'mac', 'tag'), JSON_UNESCAPED_SLASHES));
    }
    return serialize($text);
}

function laravel_unwrap(string $kind, string $key, string $payload): mixed {
    [$serialization, $cipher] = explode(',', $kind . ',');
    $text = unserialize($payload);
    if ($cipher !== '') {
        ['iv' => $iv, 'value' => $value, 'mac' => $mac, 'tag' => $tag] = json_decode(base64_decode($text, true), true);
        if (str_ends_with($cipher, 'cbc') && !hash_equals(hash_hmac('sha256', $iv . $value, $key), $mac)) {
            return 'the MAC is invalid';
        }
        $tag = base64_decode($tag, true);
        $text = unserialize(openssl_decrypt($value, $cipher, $key, 0, base64_decode($iv, true), $tag));
    }
    return $serialization === 'json' ? json_decode($text, true) : unserialize($text);
}

session_set_save_handler(new Nowhere, false);
start();
while ($request = hear()) {
    $answer = [];
    switch ($request[0]) {
        // Payloads: of each what PHP complains of, what it writes, and what it read, in serialize()'s words.
        case 'read':
            foreach (array_slice($request, 1) as $payload) {
                start();
                $_SESSION = [];
                $answer[] = session_decode($payload) ? '' : 'session_decode says no';
                start();
                $written = session_encode(); // false where nothing is in it
                array_push($answer, (string) $written, serialize($_SESSION));
                $answer[count($answer) - 3] .= complaints();
            }
            break;
        // A kind of envelope, a key, and sessions as serialize() text: each in that envelope.
        case 'wrap':
            [, $kind, $key] = $request;
            foreach (array_slice($request, 3) as $text) {
                $data = unserialize($text);
                $answer[] = $kind === 'amp' ? amp_wrap($data) : laravel_wrap($kind, $key, $data);
            }
            break;
        // The other way round.
        case 'unwrap':
            [, $kind, $key] = $request;
            foreach (array_slice($request, 3) as $text) {
                $data = $kind === 'amp' ? amp_unwrap($text) : laravel_unwrap($kind, $key, $text);
                $answer[] = complaints() . serialize($data);
            }
            break;
        // Envelopes that may be broken: of each as in `read`.
        case 'open':
            [, $kind, $key] = $request;
            foreach (array_slice($request, 3) as $text) {
                try {
                    $data = $kind === 'amp' ? amp_unwrap($text) : laravel_unwrap($kind, $key, $text);
                } catch (Throwable) {
                    $data = null;
                }
                $refused = is_array($data) ? '' : 'session_decode says no';
                array_push($answer, $refused . complaints(), '', serialize($data));
            }
            break;
        // A seed and a number: so many made-up sessions, as in `read`.
        case 'invent':
            mt_srand((int) $request[1]);
            $inventor = new Inventor(ini_get('session.serialize_handler') === 'msgpack');
            for ($n = (int) $request[2]; $n > 0; $n--) {
                $_SESSION = $inventor->session();
                $written = session_encode(); // false where nothing is in it
                array_push($answer, complaints(), (string) $written, serialize($_SESSION));
            }
            break;
    }
    say($answer);
}
