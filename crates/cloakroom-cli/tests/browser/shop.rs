//! Tabs, cookies, devices, the keyboard.

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::key::Key;

use crate::driver::{Browser, Driver};
use crate::support::Demo;

#[tokio::test]
async fn c1_two_tabs_add_at_the_same_moment_and_nothing_is_lost() {
    let driver = Driver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::on(folder.path());
    let browser = driver.browser().await;
    let client = &browser.client;
    client.goto(&demo.base).await.unwrap();
    browser.click("#ticket button").await;
    browser.until("document.querySelector('.count')").await;
    let tabs = [client.window().await.unwrap(), client.new_window(false).await.unwrap().handle];

    for round in 0..10 {
        for tab in &tabs {
            client.switch_to_window(tab.clone()).await.unwrap();
            client.goto(&demo.base).await.unwrap();
        }
        browser.press_at_once(&[(&tabs[0], "#scarf button"), (&tabs[1], "#gloves button")]).await;
        for (tab, good) in tabs.iter().zip(["scarf", "gloves"]) {
            client.switch_to_window(tab.clone()).await.unwrap();
            assert_eq!(client.current_url().await.unwrap().fragment(), Some(good), "round {round}");
        }
    }
    client.goto(&format!("{}/basket", demo.base)).await.unwrap();
    let quantity = |good: &str| format!("form:has([value={good}]) [name=quantity]");
    for good in ["scarf", "gloves"] {
        let field = client.find(fantoccini::Locator::Css(&quantity(good))).await.unwrap();
        assert_eq!(field.prop("value").await.unwrap().as_deref(), Some("10"), "{good}");
    }
    assert_eq!(browser.in_basket().await, "21");
    browser.close().await;
}

#[tokio::test]
async fn s29_login_changes_the_cookie_whose_attributes_are_what_the_browser_understood() {
    let driver = Driver::start().await;
    let demo = Demo::in_memory();
    let browser = driver.browser().await;
    browser.client.goto(&demo.base).await.unwrap();
    assert!(browser.cookie("id").await.is_none(), "looking around sets no cookie");
    browser.click("#cape button").await;
    browser.until("document.querySelector('.count')").await;
    let before = browser.session_cookie("id").await;
    browser.log_in(&demo.base, "Ada").await;
    let after = browser.session_cookie("id").await;
    assert_ne!(before.value(), after.value());
    assert_eq!(browser.in_basket().await, "1", "the basket came along");
    // Out again: the cookie is gone from the browser.
    browser.click(".foot button").await;
    browser.until("location.pathname === '/goodbye'").await;
    assert!(browser.cookie("id").await.is_none());
    browser.close().await;
}

#[tokio::test]
async fn s46_revoking_a_device_logs_the_other_browser_out() {
    let driver = Driver::start().await;
    let demo = Demo::in_memory();
    let (here, there) = (driver.browser().await, driver.browser().await);
    here.log_in(&demo.base, "Ada").await;
    there.log_in(&demo.base, "Ada").await;
    here.client.goto(&format!("{}/devices", demo.base)).await.unwrap();
    let devices = here.text(".devices").await;
    assert_eq!(devices.matches("Chrome (headless) on Linux\nAddress").count(), 1, "{devices}");
    assert_eq!(devices.matches("This one").count(), 1, "{devices}");
    assert_eq!(devices.matches("127.0.0.1").count(), 2, "{devices}");
    here.click(".device button").await;
    here.until("document.querySelectorAll('.device').length === 1").await;
    assert!(here.text(".flashes").await.contains("That device is logged out"));
    there.client.goto(&format!("{}/devices", demo.base)).await.unwrap();
    assert!(there.body().await.contains("you have not told yours"));
    assert!(here.body().await.contains("Checked in as Ada"));

    // And all others at once.
    there.log_in(&demo.base, "Ada").await;
    here.client.goto(&format!("{}/devices", demo.base)).await.unwrap();
    here.click("form[action='/devices/revoke-others'] button").await;
    here.until("document.querySelectorAll('.device').length === 1").await;
    there.client.goto(&demo.base).await.unwrap();
    assert!(!there.body().await.contains("Checked in as"));
    here.close().await;
    there.close().await;
}

#[tokio::test]
async fn a_message_survives_the_redirect_and_is_shown_once() {
    let driver = Driver::start().await;
    let demo = Demo::in_memory();
    let browser = driver.browser().await;
    browser.client.goto(&demo.base).await.unwrap();
    browser.click("#umbrella button").await;
    browser.until("document.querySelector('.flash')").await;
    assert_eq!(browser.text(".flashes").await, "Walking Umbrella is in your basket.");
    assert_eq!(browser.client.current_url().await.unwrap().fragment(), Some("umbrella"));
    // In sight, although the page was taken to the umbrella.
    let top = "document.querySelector('.flash').getBoundingClientRect().top";
    browser.until(&format!("{top} >= 0 && {top} < innerHeight")).await;
    browser.client.refresh().await.unwrap();
    assert!(!browser.has(".flash").await);
    assert_eq!(browser.in_basket().await, "1", "and the reload added nothing");
    browser.close().await;
}

#[tokio::test]
async fn a_basket_is_changed_emptied_and_bought() {
    let driver = Driver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::on(folder.path());
    let browser = driver.browser().await;
    let basket = format!("{}/basket", demo.base);
    for good in ["cape", "scarf"] {
        browser.client.goto(&format!("{}/goods/{good}", demo.base)).await.unwrap();
        browser.click("main button").await;
        browser.until("document.querySelector('.flash')").await;
    }
    browser.client.goto(&basket).await.unwrap();
    browser.write("form:has([value=scarf]) [name=quantity]", "3").await;
    browser.click("form:has([value=scarf]) button").await;
    browser.until("document.querySelector('.count').innerText.includes('4')").await;
    browser.click("form[action='/basket/remove']:has([value=cape]) button").await;
    browser.until("document.querySelectorAll('.line').length === 1").await;
    assert!(browser.text(".total").await.contains("€192"));
    browser.click("form[action='/checkout'] button").await;
    browser.until("location.pathname === '/receipt'").await;
    let receipt = browser.text(".ticket").await;
    assert!(receipt.contains("3 × Long Scarf") && receipt.contains("€192"), "{receipt}");
    assert!(!browser.has(".count").await);
    browser.close().await;
}

#[tokio::test]
async fn the_keyboard_alone_is_enough() {
    let driver = Driver::start().await;
    let demo = Demo::in_memory();
    let browser = driver.browser().await;
    browser.client.goto(&demo.base).await.unwrap();
    press(&browser, Key::Tab).await;
    assert_eq!(focused(&browser).await, "Skip to the content");
    press(&browser, Key::Enter).await;
    browser.until("document.activeElement.id === 'main'").await;
    let mut passed = Vec::new();
    loop {
        press(&browser, Key::Tab).await;
        let at = focused(&browser).await;
        let outline = "return getComputedStyle(document.activeElement).outlineStyle";
        assert_eq!(browser.client.execute(outline, vec![]).await.unwrap(), "solid", "focus is seen on {at}");
        passed.push(at.clone());
        if at == "Add The Long Overcoat to the basket" {
            break;
        }
        assert!(passed.len() < 5, "past the skip link the goods come first: {passed:?}");
    }
    press(&browser, Key::Enter).await;
    browser.until("document.querySelector('.count')").await;
    assert_eq!(browser.in_basket().await, "1");
    assert_eq!(browser.client.current_url().await.unwrap().fragment(), Some("overcoat"));
    browser.close().await;
}

async fn press(browser: &Browser, key: Key) {
    let value: char = key.into();
    let keys = KeyActions::new("keys".into()).then(KeyAction::Down { value }).then(KeyAction::Up { value });
    browser.client.perform_actions(keys).await.unwrap();
}

/// What a screen reader would call the focused element, by its text.
async fn focused(browser: &Browser) -> String {
    let text = "return document.activeElement.textContent.trim().replace(/\\s+/g, ' ')";
    browser.client.execute(text, vec![]).await.unwrap().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn no_page_breaks_its_own_policy_complains_or_asks_elsewhere() {
    let driver = Driver::start().await;
    let demo = Demo::in_memory();
    let browser = driver.browser().await;
    browser.client.goto(&demo.base).await.unwrap();
    // What the browser asked of itself for the empty page it started with is no concern of the shop's.
    browser.requested().await;
    browser.click("#cape button").await;
    browser.until("document.querySelector('.count')").await;
    browser.log_in(&demo.base, "Ada").await;
    for path in ["/", "/goods/cape", "/basket", "/devices", "/counter", "/login", "/admin/enter"] {
        browser.client.goto(&format!("{}{path}", demo.base)).await.unwrap();
        browser.until("document.readyState === 'complete'").await;
        let styled = "return getComputedStyle(document.querySelector('h1')).fontFamily";
        let font = browser.client.execute(styled, vec![]).await.unwrap();
        assert!(font.as_str().unwrap().contains("Palatino"), "{path} has its style sheet: {font}");
    }
    browser.client.goto(&format!("{}/basket", demo.base)).await.unwrap();
    browser.click("form[action='/checkout'] button").await;
    browser.until("location.pathname === '/receipt'").await;
    browser.client.goto(&format!("{}/admin/enter", demo.base)).await.unwrap();
    browser.write("#token", &demo.token).await;
    browser.click("main button").await;
    browser.until("document.getElementById('pulse').dataset.state === 'live'").await;

    let complaints = browser.log("browser").await;
    assert!(complaints.is_empty(), "{complaints:?}");
    let requested = browser.requested().await;
    assert!(requested.iter().any(|url| url.ends_with("/admin/numbers")), "the log is on: {requested:?}");
    let elsewhere: Vec<_> = requested.iter().filter(|url| !url.starts_with(&demo.base)).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    browser.close().await;
}

#[tokio::test]
async fn a_phone_shows_every_page_without_scrolling_sideways() {
    let driver = Driver::start().await;
    let demo = Demo::in_memory();
    let browser = driver.browser().await;
    browser.client.goto(&demo.base).await.unwrap();
    browser.click("#cape button").await;
    browser.until("document.querySelector('.count')").await;
    browser.log_in(&demo.base, "A name as long as a name may be, forty..").await;
    browser.client.goto(&format!("{}/admin/enter", demo.base)).await.unwrap();
    browser.write("#token", &demo.token).await;
    browser.click("main button").await;
    // The window cannot be made as narrow as a phone; a frame can, but no page lets itself be framed. So: the narrowest.
    browser.client.set_window_size(500, 844).await.unwrap();
    for path in ["/", "/goods/cape", "/basket", "/devices", "/counter", "/login", "/admin"] {
        browser.client.goto(&format!("{}{path}", demo.base)).await.unwrap();
        assert_eq!(browser.too_wide().await, 0, "{path}");
    }
    browser.close().await;
}
