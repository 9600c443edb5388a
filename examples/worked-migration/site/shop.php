<?php
// The shop as it was before anybody thought of Rust: one file, PHP's sessions, nothing that knows of another language.
declare(strict_types=1);

const GOODS = ['scarf' => 'A scarf', 'gloves' => 'A pair of gloves', 'bowler' => 'A bowler hat', 'umbrella' => 'An umbrella'];

// When a visitor came: an object, which PHP alone can make.
final class Visit
{
    public function __construct(public readonly DateTimeImmutable $since = new DateTimeImmutable()) {}
}

session_start();
$_SESSION['visit'] ??= new Visit();
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$posted = $_SERVER['REQUEST_METHOD'] === 'POST';

function escape(string $text): string { return htmlspecialchars($text, ENT_QUOTES); }

function go(string $where): never { header("Location: $where", true, 303); exit; }

if ($posted && $path === '/add') {
    $good = $_POST['good'] ?? '';
    if (isset(GOODS[$good])) {
        $_SESSION['basket'][$good] = ($_SESSION['basket'][$good] ?? 0) + 1;
    }
    go('/');
}
if ($posted && $path === '/login') {
    $name = trim($_POST['name'] ?? '');
    if ($name !== '' && strlen($name) <= 40) {
        session_regenerate_id(true);
        $_SESSION['user_id'] = $name;
        go('/');
    }
    go('/login');
}
if ($posted && $path === '/logout') {
    $_SESSION = [];
    session_destroy();
    setcookie(session_name(), '', ['expires' => 1, 'path' => '/', 'httponly' => true, 'samesite' => 'Lax']);
    go('/');
}

$user = $_SESSION['user_id'] ?? null;
$count = array_sum($_SESSION['basket'] ?? []);
$since = $_SESSION['visit']->since->format('H:i:s');
?>
<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>The coat shop</title>
<link rel="stylesheet" href="/shop.css">
<header><h1><a href="/">The coat shop</a></h1>
<nav><a href="/">Goods</a> <a href="/basket">Basket <b id="count"><?= $count ?></b></a>
<?php if ($user === null) { ?><a href="/login">Log in</a><?php } else { ?><a href="/account" id="user"><?= escape((string) $user) ?></a><?php } ?></nav>
<p class="by php">This page was made by <b>PHP</b>; you came at <span id="since"><?= $since ?></span></p></header>
<main>
<?php if ($path === '/login') { ?>
<h2>Log in</h2>
<form method="post" action="/login" class="login"><label>Your name <input name="name" maxlength="40" required autofocus></label><button>Log in</button></form>
<?php } else { ?>
<h2>Goods</h2>
<ul class="goods">
<?php foreach (GOODS as $good => $title) { ?>
<li><span><?= escape($title) ?></span><form method="post" action="/add"><button name="good" value="<?= $good ?>">Into the basket</button></form></li>
<?php } ?>
</ul>
<?php if ($user !== null) { ?><form method="post" action="/logout"><button class="plain">Log out</button></form><?php } ?>
<?php } ?>
</main></html>
