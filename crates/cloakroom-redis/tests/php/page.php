<?php
// The PHP half of the tests: one page that does what it is asked to with its session.
class Node { public $name; protected $hidden = 'h'; private $secret = 's'; public $next; public function __construct($name) { $this->name = $name; } }
enum Size: string { case Small = 's'; case Large = 'l'; }

// The session as PHP's own module has it, unless what stands before this page has one of its own.
if (!function_exists('change_id')) {
    function change_id() { session_regenerate_id(true); }
    function log_out() { $_SESSION = []; session_destroy(); }
    function finish() { session_write_close(); }
}
if (!function_exists('start')) {
    function start() { session_start(); }
}

start();
$key = $_GET['key'] ?? '';
switch ($_GET['do'] ?? 'read') {
    case 'read':
        break;
    case 'set':
        $_SESSION[$key] = json_decode($_GET['value'], true);
        break;
    case 'add':
        $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
        usleep(2000);
        break;
    case 'login':
        change_id();
        $_SESSION['user_id'] = 7;
        break;
    case 'regenerate':
        change_id();
        break;
    case 'logout':
        log_out();
        exit('null');
    case 'objects':
        $a = new Node('a');
        $a->next = new Node('b');
        $_SESSION['node'] = $a;
        if (empty($_GET['plain'])) {
            $a->next->next = $a;
            $_SESSION['size'] = Size::Large;
            $shared = ['x' => 1];
            $_SESSION['one'] = &$shared;
            $_SESSION['two'] = &$shared;
        }
        break;
    case 'intact':
        $node = $_SESSION['node'];
        $intact = $node instanceof Node && $node->name === 'a' && $node->next instanceof Node;
        $intact = $intact && str_contains(print_r($node, true), 'secret');
        if (empty($_GET['plain'])) {
            $intact = $intact && $node->next->next === $node && $_SESSION['size'] === Size::Large;
            $_SESSION['one']['x'] = 5;
            $intact = $intact && $_SESSION['two']['x'] === 5;
        }
        finish();
        exit(json_encode($intact));
}
$told = json_encode($key === '' ? null : ($_SESSION[$key] ?? null));
finish();
echo $told;
