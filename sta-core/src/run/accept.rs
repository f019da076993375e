//! Accepts connections, whoever they are for.

use tokio::time::sleep;

use crate::io::transport::{Connection, Listener};
use crate::model::limits;

/// Accepts connections and delivers each, until `deliver` says that nobody takes them any more.
pub(super) async fn accept<Taken>(
    mut listener: Box<dyn Listener>,
    mut deliver: impl FnMut(Connection) -> Taken,
) where
    Taken: Future<Output = bool>,
{
    loop {
        match listener.accept().await {
            Ok(connection) => {
                if !deliver(connection).await {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}
