//! The demo's appliance: a TCP service that says its name. Killing the process is its death.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Most connections served at once.
const CONNECTIONS: usize = 256;

/// How long a client may take to take the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Accepts on `listen` and answers each connection with `name` and a line feed, for ever.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(name: &str, listen: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let answer: Arc<str> = format!("{name}\n").into();
    loop {
        // A closed semaphore is impossible: nothing closes it.
        let Ok(slot) = slots.clone().acquire_owned().await else { return Ok(()) };
        let Ok((mut stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: let some connections end.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(PATIENCE, async {
                stream.write_all(answer.as_bytes()).await?;
                stream.shutdown().await
            })
            .await;
            drop(slot);
        });
    }
}
