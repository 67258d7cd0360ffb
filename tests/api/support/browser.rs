//! A headless Chromium that looks at the dashboard, and fails whatever story it is in when the page misbehaves.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chromiumoxide::{
    Browser, BrowserConfig, Page,
    cdp::{
        browser_protocol::{
            emulation::{MediaFeature, SetDeviceMetricsOverrideParams},
            log::{EventEntryAdded, LogEntryLevel},
            network::EventRequestWillBeSent,
            page::CaptureScreenshotFormat,
        },
        js_protocol::runtime::{ConsoleApiCalledType, EvaluateParams, EventConsoleApiCalled, EventExceptionThrown},
    },
    page::ScreenshotParams,
};
use futures_util::StreamExt as _;
use ringback::{call::time::Millis, clock::Clock};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::JoinSet,
};

/// What is not there after this time never comes. Long, because debug builds and browsers share their cores.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a page.
const GLANCE: Duration = Duration::from_millis(40);
/// Browsers at once: each takes a core while it starts.
static ROOM: Semaphore = Semaphore::const_new(3);

/// Gives a page a clock that is `SHIFT` milliseconds ahead: in a story of weeks ago everything would be weeks old.
const CLOCK: &str = "(() => {
    const Machine = Date;
    let shift = SHIFT;
    const now = () => Machine.now() + shift;
    globalThis.storyClock = (to) => { shift = to - Machine.now(); };
    globalThis.Date = new Proxy(Machine, {
        construct: (machine, given, made) => Reflect.construct(machine, given.length ? given : [now()], made),
        get: (machine, name) => (name === 'now' ? now : Reflect.get(machine, name)),
    });
})()";

/// Looks for what keeps people from using a page.
const AXE: &str = include_str!("../../vendor/axe.min.js");

/// Is the dashboard to be tested? Where no Chromium is installed, somebody has to say that it need not be.
pub(crate) fn is_tested() -> bool {
    if std::env::var_os("RINGBACK_SKIP_CLIENTS").is_some_and(|word| word == "1") {
        eprintln!("left out, as RINGBACK_SKIP_CLIENTS says");
        return false;
    }
    true
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Light,
    Dark,
    Phone,
}

impl Look {
    pub(crate) const ALL: [Self; 3] = [Self::Light, Self::Dark, Self::Phone];

    fn size(self) -> (i64, i64) {
        if self == Self::Phone { (390, 844) } else { (1280, 860) }
    }
}

/// A browser with one page. Every story ends it with [`Tab::finish`].
pub(crate) struct Tab {
    browser: Browser,
    page: Page,
    url: String,
    faults: Arc<Mutex<Vec<String>>>,
    listeners: JoinSet<()>,
    _profile: TempDir,
    _room: SemaphorePermit<'static>,
}

impl Tab {
    /// Opens the service at `url`, when it is `now` in the story.
    pub(crate) async fn open(url: &str, now: Millis) -> Self {
        let room = ROOM.acquire().await.expect("it is never closed");
        let profile = TempDir::new().expect("a folder");
        let config = BrowserConfig::builder()
            .no_sandbox()
            .launch_timeout(PATIENCE)
            .user_data_dir(profile.path())
            .args(["--disable-dev-shm-usage", "--lang=en-US", "--autoplay-policy=no-user-gesture-required"])
            .viewport(None)
            .build()
            .unwrap_or_else(|error| panic!("apt-get install chromium, or set RINGBACK_SKIP_CLIENTS=1: {error}"));
        let (browser, mut handler) = Browser::launch(config).await.expect("Chromium starts");
        let mut listeners = JoinSet::new();
        listeners.spawn(async move { while handler.next().await.is_some() {} });
        let page = browser.new_page("about:blank").await.expect("a page");
        let faults = Arc::default();
        let tab = Self { browser, page, url: url.to_owned(), faults, listeners, _profile: profile, _room: room };
        let tab = tab.watched().await;
        tab.look(Look::Light).await;
        let shift = now.since(Clock::System.now());
        tab.page.evaluate_on_new_document(CLOCK.replace("SHIFT", &shift.to_string())).await.expect("a clock");
        tab.page.goto(url).await.expect("the page loads");
        tab
    }

    /// Sets the page's clock, as long as it is not loaded anew; it goes on from there.
    pub(crate) async fn is_now(&self, now: Millis) {
        self.js(&format!("void storyClock({})", now.0)).await;
    }

    /// From now on nothing that goes wrong is overlooked.
    async fn watched(mut self) -> Self {
        let note = |faults: &Arc<Mutex<Vec<String>>>| {
            let faults = Arc::clone(faults);
            move |fault: String| faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault)
        };
        self.page.enable_log().await.expect("a log");
        self.page.enable_runtime().await.expect("a console");
        let mut logged = self.page.event_listener::<EventEntryAdded>().await.expect("its log");
        let mut thrown = self.page.event_listener::<EventExceptionThrown>().await.expect("its exceptions");
        let mut said = self.page.event_listener::<EventConsoleApiCalled>().await.expect("its console");
        let mut asked = self.page.event_listener::<EventRequestWillBeSent>().await.expect("its requests");
        let tell = note(&self.faults);
        self.listeners.spawn(async move {
            while let Some(event) = logged.next().await {
                if matches!(event.entry.level, LogEntryLevel::Error | LogEntryLevel::Warning) {
                    tell(format!("logged: {} {}", event.entry.text, event.entry.url.as_deref().unwrap_or_default()));
                }
            }
        });
        let tell = note(&self.faults);
        self.listeners.spawn(async move {
            while let Some(event) = thrown.next().await {
                tell(format!("thrown: {:?}", event.exception_details));
            }
        });
        let tell = note(&self.faults);
        self.listeners.spawn(async move {
            while let Some(event) = said.next().await {
                if matches!(event.r#type, ConsoleApiCalledType::Error | ConsoleApiCalledType::Warning) {
                    tell(format!("said: {:?}", event.args));
                }
            }
        });
        let (tell, ours) = (note(&self.faults), format!("{}/", self.url));
        self.listeners.spawn(async move {
            while let Some(event) = asked.next().await {
                let address = &event.request.url;
                // Chromium's own player has pictures inside it, which come from no host.
                if !address.starts_with(&ours) && !address.starts_with("data:") && address != "about:blank" {
                    tell(format!("asked elsewhere: {address}"));
                }
            }
        });
        self
    }

    /// Shows the page in another light, or on a phone.
    pub(crate) async fn look(&self, look: Look) {
        let (width, height) = look.size();
        let size = SetDeviceMetricsOverrideParams::new(width, height, 1.0, look == Look::Phone);
        self.page.execute(size).await.expect("a size");
        let scheme = if look == Look::Dark { "dark" } else { "light" };
        self.page.emulate_media_features(vec![MediaFeature::new("prefers-color-scheme", scheme)]).await.expect("a light");
    }

    /// What an expression in the page comes to; promises are waited for.
    pub(crate) async fn js(&self, expression: &str) -> Value {
        let asked =
            EvaluateParams::builder().expression(expression).await_promise(true).return_by_value(true).build().expect("an expression");
        let answer = self.page.evaluate_expression(asked).await.unwrap_or_else(|error| panic!("{error}: {expression}"));
        answer.value().cloned().unwrap_or_default()
    }

    /// Waits until an expression in the page is true.
    pub(crate) async fn until(&self, expression: &str) {
        let begun = Instant::now();
        while self.js(&format!("Boolean({expression})")).await != true {
            let is_late = begun.elapsed() > PATIENCE;
            let seen = if is_late { self.text().await } else { String::new() };
            assert!(!is_late, "never came true: {expression}\n{seen}\n{:?}", self.faults.lock());
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Waits until these words stand on the page.
    pub(crate) async fn reads(&self, words: &str) {
        self.until(&format!("document.body.innerText.includes({})", Value::from(words))).await;
    }

    /// Everything that stands on the page.
    pub(crate) async fn text(&self) -> String {
        self.js("document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    /// Clicks the first that a selector finds, with the mouse.
    pub(crate) async fn click(&self, selector: &str) {
        self.until(&format!("document.querySelector({})", Value::from(selector))).await;
        let element = self.page.find_element(selector).await.unwrap_or_else(|error| panic!("{selector}: {error}"));
        element.click().await.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Clicks the button or link that reads so.
    pub(crate) async fn press(&self, words: &str) {
        let find =
            format!("[...document.querySelectorAll('button, a, summary')].find((it) => it.innerText.trim() === {})", Value::from(words));
        self.until(&find).await;
        self.js(&format!(
            "(document.querySelectorAll('[data-pressed]').forEach((it) => delete it.dataset.pressed), {find}.dataset.pressed = 1)"
        ))
        .await;
        self.click("[data-pressed]").await;
    }

    /// Types into a field that it has cleared, as a person does, and presses a key.
    pub(crate) async fn fill(&self, selector: &str, text: &str, key: Option<&str>) {
        self.click(selector).await;
        self.js("document.activeElement.select()").await;
        let field = self.page.find_element(selector).await.expect("the field");
        field.type_str(text).await.expect("it takes keys");
        if let Some(key) = key {
            field.press_key(key).await.expect("it takes keys");
        }
    }

    /// Types wherever the focus is.
    pub(crate) async fn types(&self, text: &str) {
        let page = self.page.find_element("body").await.expect("a page");
        page.type_str(text).await.expect("it takes keys");
    }

    /// Presses a key wherever the focus is.
    pub(crate) async fn key(&self, key: &str) {
        let page = self.page.find_element("body").await.expect("a page");
        page.press_key(key).await.expect("it takes keys");
    }

    /// Goes to a page of the dashboard.
    pub(crate) async fn go(&self, hash: &str) {
        self.js(&format!("void (location.hash = {})", Value::from(hash))).await;
    }

    /// Signs in with a token.
    pub(crate) async fn sign_in(&self, token: &str) {
        self.fill("#token", token, Some("Enter")).await;
        self.until("document.querySelector('.bar')").await;
    }

    /// Fails on everything that seriously keeps people from using the page as it stands.
    pub(crate) async fn is_usable_by_all(&self, place: &str) {
        if self.js("typeof window.axe").await != "object" {
            self.js(&format!("void (() => {{ {AXE} }})()")).await;
        }
        let found = self
            .js("axe.run(document, { resultTypes: ['violations'] }).then((it) => it.violations \
                 .filter((it) => ['serious', 'critical'].includes(it.impact)) \
                 .map((it) => `${it.id}: ${it.help}: ${it.nodes.map((node) => `${node.html} ${node.failureSummary}`).join(' | ')}`))")
            .await;
        assert_eq!(found, serde_json::json!([]), "{place}");
        let overflow = self.js("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
        assert_eq!(overflow, 0, "{place} is wider than the window");
    }

    /// A picture of the page down to its end; on a phone of what is to be seen.
    pub(crate) async fn picture(&self, file: &Path, look: Look) {
        let params = ScreenshotParams::builder().format(CaptureScreenshotFormat::Png).full_page(look != Look::Phone).build();
        self.page.save_screenshot(params, file).await.expect("a picture");
    }

    /// What went wrong so far; from now on it is forgiven.
    pub(crate) fn faults(&self) -> Vec<String> {
        std::mem::take(&mut *self.faults.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// This one refusal was meant to be; browsers log each.
    pub(crate) async fn was_refused(&self, status: u16) {
        let begun = Instant::now();
        let word = format!("status of {status}");
        while !self.forgives(&word) {
            assert!(begun.elapsed() < PATIENCE, "nothing was refused with {status}");
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Forgets the faults that say this word; tells whether there were any.
    fn forgives(&self, word: &str) -> bool {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let before = faults.len();
        faults.retain(|fault| !fault.contains(word));
        faults.len() < before
    }

    /// The end of every story: nothing went wrong that was not meant to.
    pub(crate) async fn finish(mut self) {
        let faults = self.faults();
        let _ = self.browser.close().await;
        let _ = self.browser.wait().await;
        assert!(faults.is_empty(), "{faults:#?}");
    }
}
