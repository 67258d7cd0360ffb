//! Every page in every light, looked at by axe; and by us, when `RINGBACK_PICTURES` names a folder.

use std::{path::PathBuf, time::Duration};

use crate::support::browser::{Look, Tab};

/// Where pictures of the pages are put, if somebody wants some.
const PICTURES: &str = "RINGBACK_PICTURES";
/// Colors change within this time.
const CHANGES: Duration = Duration::from_millis(150);

/// The page as it stands is usable by all, in every light and on a phone.
pub(crate) async fn looked_at(tab: &Tab, name: &str) {
    let pictures = std::env::var_os(PICTURES).map(PathBuf::from);
    for look in Look::ALL {
        tab.look(look).await;
        tokio::time::sleep(CHANGES).await;
        tab.is_usable_by_all(&format!("{name}, {look:?}")).await;
        if let Some(folder) = &pictures {
            tab.picture(&folder.join(format!("{name}-{look:?}.png").to_lowercase())).await;
        }
    }
    tab.look(Look::Light).await;
}
