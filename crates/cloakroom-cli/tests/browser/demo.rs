//! What a visitor does in the demo, on whichever page.

use crate::driver::Browser;

impl Browser {
    /// The number on the basket in the head, as it is seen.
    pub(crate) async fn in_basket(&self) -> String {
        let shown = "return document.querySelector('.count').lastChild.textContent";
        self.client.execute(shown, vec![]).await.unwrap().as_str().unwrap().to_owned()
    }

    pub(crate) async fn log_in(&self, base: &str, name: &str) {
        self.client.goto(&format!("{base}/login")).await.unwrap();
        self.write("#name", name).await;
        self.click("main button[type=submit]").await;
        self.until(&format!("document.body.innerText.includes('Checked in as {name}')")).await;
    }
}
