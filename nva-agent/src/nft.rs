//! nftables, as the gates use it: `nft` loads the rules, once, and netlink messages of this process
//! open and shut them.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use rtnetlink::sys::{Socket, SocketAddr};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::nft_wire::first_error;

const NETLINK_NETFILTER: isize = 12;
/// `nft` loads a dozen rules in some 20 ms.
const NFT_DEADLINE: Duration = Duration::from_millis(500);
/// Far above one error message; what is cut off is not looked at.
const ANSWER_SIZE: usize = 64 * 1024;

/// A connection to the kernel's nftables, in the network namespace of the thread that made it.
#[derive(Debug)]
pub(crate) struct Nft {
    socket: Socket,
}

impl Nft {
    pub(crate) fn connect() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // The kernel does a batch while it is sent. Its errors are there then, or there are none.
        socket.set_non_blocking(true)?;
        Ok(Nft { socket })
    }

    /// Sends a batch. It has taken effect when this returns.
    pub(crate) fn exchange(&self, message: &[u8]) -> io::Result<()> {
        self.socket.send(message, 0)?;
        loop {
            let mut answer = Vec::with_capacity(ANSWER_SIZE);
            match self.socket.recv(&mut answer, 0) {
                Ok(_) => {
                    if let Some(code) = first_error(&answer) {
                        self.drain();
                        return Err(io::Error::from_raw_os_error(code));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn drain(&self) {
        while self.socket.recv(&mut Vec::with_capacity(ANSWER_SIZE), 0).is_ok() {}
    }
}

/// Why rules were not loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// `nft` is missing, or may not be run.
    #[error("could not run nft: {0}")]
    Run(#[from] io::Error),
    /// Whether it has loaded them is not known.
    #[error("nft did not end within {} ms", NFT_DEADLINE.as_millis())]
    Timeout,
    /// It, or the kernel, will not have them: the first line of what it says.
    #[error("nft refused the rules: {0}")]
    Refused(String),
}

/// Loads rules, all of them or none.
pub(crate) async fn load(script: &str) -> Result<(), LoadError> {
    let nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut nft = nft?;
    let stdin = nft.stdin.take();
    let finished = async {
        if let Some(mut stdin) = stdin {
            stdin.write_all(script.as_bytes()).await?;
        }
        nft.wait_with_output().await
    };
    match tokio::time::timeout(NFT_DEADLINE, finished).await {
        Err(_) => Err(LoadError::Timeout),
        Ok(Err(error)) => Err(LoadError::Run(error)),
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let message = String::from_utf8_lossy(&output.stderr);
            Err(LoadError::Refused(message.lines().next().unwrap_or("no message").to_owned()))
        }
    }
}
