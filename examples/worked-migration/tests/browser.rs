//! The worked migration as a browser sees it: which language made a page, its visitor cannot tell but by what it says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

#[path = "../../../crates/cloakroom-cli/tests/browser/driver.rs"]
mod driver;
mod support;

use driver::{Browser, Driver};
use fantoccini::cookies::Cookie;
use support::House;

/// What a visitor sees of themselves on a page.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    made_by: String,
    in_basket: String,
    user: Option<String>,
    /// When they came, by the object that PHP made.
    since: Option<String>,
}

async fn look(browser: &Browser) -> Seen {
    let text_of = async |css| if browser.has(css).await { Some(browser.text(css).await) } else { None };
    Seen {
        made_by: browser.text(".by b").await,
        in_basket: browser.text("#count").await,
        user: text_of("#user").await,
        since: text_of("#since").await,
    }
}

/// Opens a page, and looks.
async fn at(browser: &Browser, house: &House, path: &str) -> Seen {
    browser.client.goto(&house.url(path)).await.unwrap();
    look(browser).await
}

/// Presses a button, and waits for what that makes of the number on the basket.
async fn fill(browser: &Browser, button: &str, then: u32) {
    browser.click(button).await;
    browser.until(&format!("document.getElementById('count').textContent === '{then}'")).await;
}

async fn log_in(browser: &Browser, house: &House, name: &str) {
    browser.client.goto(&house.url("/login")).await.unwrap();
    browser.write("[name=name]", name).await;
    browser.click("main button").await;
    browser.until("document.getElementById('user')").await;
}

async fn log_out(browser: &Browser, house: &House, path: &str) {
    browser.client.goto(&house.url(path)).await.unwrap();
    browser.click("main > form button").await;
    browser.until("!document.getElementById('user')").await;
}

/// The session's cookie, which is what PHP's settings say, whoever sent it.
async fn cookie(browser: &Browser) -> Cookie<'static> {
    browser.session_cookie("SHOP").await
}

/// What somebody does who kept a copy of it.
async fn put_back(browser: &Browser, kept: &Cookie<'static>) {
    browser.client.delete_all_cookies().await.unwrap();
    let script = format!("document.cookie = '{}={}; path=/'", kept.name(), kept.value());
    browser.client.execute(&script, vec![]).await.unwrap();
    assert_eq!(browser.cookie(kept.name()).await.unwrap().value(), kept.value());
}

#[tokio::test]
async fn s16_one_visitor_on_pages_of_both_with_one_basket_one_login_and_one_logout() {
    let driver = Driver::start().await;
    let house = House::open();
    let browser = driver.browser().await;
    let client = &browser.client;
    let first = at(&browser, &house, "/").await;
    assert_eq!((first.made_by.as_str(), first.in_basket.as_str(), &first.user), ("PHP", "0", &None));
    let since = first.since.expect("PHP wrote down when they came");

    // One basket: from PHP's page, from Rust's, and from both in two tabs at once.
    fill(&browser, "[value=scarf]", 1).await;
    assert_eq!(at(&browser, &house, "/basket").await.made_by, "Rust");
    fill(&browser, "[name=more][value=scarf]", 2).await;
    let tabs = [client.window().await.unwrap(), client.new_window(false).await.unwrap().handle];
    for round in 1..=5 {
        for (tab, path) in tabs.iter().zip(["/", "/basket"]) {
            client.switch_to_window(tab.clone()).await.unwrap();
            at(&browser, &house, path).await;
        }
        let [php, rust] = ["[value=gloves]", "[name=more][value=scarf]"];
        browser.press_at_once(&[(&tabs[0], php), (&tabs[1], rust)]).await;
        for path in ["/", "/basket"] {
            assert_eq!(at(&browser, &house, path).await.in_basket, (2 + 2 * round).to_string(), "{path}");
        }
    }

    // One login, on PHP's page. PHP's own object is what it was, after all that Rust changed beside it.
    let anonymous = cookie(&browser).await;
    log_in(&browser, &house, "Ada <3 Charles").await;
    let ada = cookie(&browser).await;
    assert_ne!(ada.value(), anonymous.value(), "a new id");
    for (path, made_by) in [("/", "PHP"), ("/account", "Rust"), ("/", "PHP")] {
        let user = Some("Ada <3 Charles".to_owned());
        let expected =
            Seen { made_by: made_by.into(), in_basket: "12".into(), user, since: Some(since.clone()) };
        assert_eq!(at(&browser, &house, path).await, expected, "{path}");
    }

    // One logout, on either side: the browser has no cookie of that session any more, and putting it back does not bring it back.
    for (path, name) in [("/account", "Ada"), ("/", "Grace")] {
        log_in(&browser, &house, name).await;
        let before = cookie(&browser).await;
        log_out(&browser, &house, path).await;
        if let Some(after) = browser.cookie("SHOP").await {
            assert_ne!(after.value(), before.value(), "{path}");
        }
        for there in ["/basket", "/"] {
            put_back(&browser, &before).await;
            let seen = at(&browser, &house, there).await;
            assert_eq!((seen.in_basket.as_str(), &seen.user), ("0", &None), "{path} {there}");
        }
        browser.client.goto(&house.url("/account")).await.unwrap();
        assert_eq!(client.current_url().await.unwrap().path(), "/login", "{path}");
    }
    assert_eq!(house.complaints(), "");
    browser.close().await;
}

#[tokio::test]
async fn a_visitor_is_kept_through_the_stages_of_the_move() {
    let driver = Driver::start().await;
    let mut house = House::open();
    let (browser, other) = (driver.browser().await, driver.browser().await);
    at(&browser, &house, "/").await;
    fill(&browser, "[value=umbrella]", 1).await;
    for (browser, name) in [(&browser, "Ada"), (&other, "Grace")] {
        log_in(browser, &house, name).await;
    }
    let (by_php, by_rust) = (at(&browser, &house, "/").await, at(&browser, &house, "/account").await);
    assert_eq!((by_php.made_by.as_str(), by_php.user.as_deref()), ("PHP", Some("Ada")));
    assert_eq!(Seen { made_by: "Rust".into(), ..by_php }, by_rust, "before anything moves");
    let before = cookie(&browser).await;

    // The page that was PHP's looks the same, and so does its visitor, object of PHP's and all.
    house.go_on("Every route is Rust's");
    assert_eq!(at(&browser, &house, "/").await, by_rust);
    fill(&browser, "[value=umbrella]", 2).await;
    assert_eq!(cookie(&browser).await.value(), before.value(), "no cookie changes");
    // A logout during the move is for good.
    assert_eq!(at(&other, &house, "/").await.user.as_deref(), Some("Grace"));
    let grace = cookie(&other).await;
    log_out(&other, &house, "/").await;
    put_back(&other, &grace).await;
    assert_eq!(at(&other, &house, "/").await.user, None);

    house.go_on("PHP is gone");
    let expected = Seen { in_basket: "2".into(), ..by_rust };
    assert_eq!(at(&browser, &house, "/").await, expected);
    assert_eq!(cookie(&browser).await.value(), before.value(), "no cookie changes");
    fill(&browser, "[value=bowler]", 3).await;
    log_out(&browser, &house, "/account").await;
    log_in(&browser, &house, "Ada").await;
    assert_ne!(cookie(&browser).await.value(), before.value(), "a login of Rust's, as PHP's cookie was");
    assert_eq!(house.complaints(), "");
    for browser in [browser, other] {
        browser.close().await;
    }
}

#[tokio::test]
async fn no_page_complains_asks_elsewhere_or_is_too_wide_for_a_phone() {
    let driver = Driver::start().await;
    let mut house = House::open();
    let browser = driver.browser().await;
    at(&browser, &house, "/").await;
    // What the browser asked of itself for the empty page it started with is no concern of the shop's.
    browser.requested().await;
    fill(&browser, "[value=scarf]", 1).await;
    log_in(&browser, &house, &"W".repeat(40)).await;
    // As narrow as a window can be made.
    browser.client.set_window_size(500, 844).await.unwrap();
    for stage in ["PHP", "Rust"] {
        for path in ["/", "/login", "/basket", "/account"] {
            at(&browser, &house, path).await;
            assert_eq!(browser.too_wide().await, 0, "{stage} {path}");
        }
        if stage == "PHP" {
            house.go_on("Every route is Rust's");
        }
    }
    let complaints = browser.log("browser").await;
    assert!(complaints.is_empty(), "{complaints:?}");
    let requested = browser.requested().await;
    assert!(requested.iter().any(|url| url.ends_with("/shop.css")), "the log is on: {requested:?}");
    let elsewhere: Vec<_> = requested.iter().filter(|url| !url.starts_with(&house.url("/"))).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    // A page that is not there is one of the shop's too.
    assert_eq!(at(&browser, &house, "/nope").await.in_basket, "1");
    assert_eq!(browser.text("h2").await, "There is no such page");
    browser.close().await;
}
