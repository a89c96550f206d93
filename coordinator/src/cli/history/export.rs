//! `history export` and `history verify`.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use coordinator_api::v1::{Consistency, Cursor, MAX_LIMIT, RecordFilter, Timestamp};
use coordinator_core::chain::{Chain, Digest};
use coordinator_core::event::Event;
use serde::Serialize;

use super::file::{self, FileError, Summary, Writer};
use super::point_in_time;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::cli::render;

/// Arguments of `history export`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArgs {
    /// Where to write it; must not exist. Default: standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// JSON Lines can be verified; CSV is for spreadsheets.
    #[arg(long, value_enum, default_value_t)]
    format: ExportFormat,
    /// Not earlier: a time such as 2026-03-01T12:00:00Z, or how long ago, such as 15m.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not later.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// One event a line, with the chain of digests.
    #[default]
    Jsonl,
    /// Comma-separated values (RFC 4180), with a line of headings.
    Csv,
}

/// Arguments of `history verify`.
#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    /// An exported file (JSON Lines). Default: the history that the cluster has.
    pub(in crate::cli) file: Option<PathBuf>,
    /// The digest that the last event must have, as somebody wrote it down.
    #[arg(long, value_name = "DIGEST")]
    head: Option<Digest>,
}

#[derive(Serialize)]
struct Verified {
    what: String,
    #[serde(flatten)]
    summary: Summary,
}

pub(super) async fn export(context: Context, args: ExportArgs, output: &Output) -> Result<(), CliError> {
    let now = crate::control_loop::wall_now();
    let time =
        |option: &str, text: Option<String>| text.map(|text| point_in_time(option, &text, now)).transpose();
    let (since, until) = (time("--since", args.since)?, time("--until", args.until)?);
    let Some(path) = args.out else {
        let out = BufWriter::new(std::io::stdout().lock());
        return write(&context, (since, until), args.format, out).await.map(drop);
    };
    let failed = |what: &str, source| CliError::io(format!("could not {what} {}", path.display()), source);
    // Written whole or not at all: the name appears once everything is on the disk.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let temporary = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")));
    let temporary = temporary.map_err(|source| failed("write beside", source))?;
    let (mut out, summary) = write(&context, (since, until), args.format, BufWriter::new(temporary)).await?;
    out.flush().map_err(|source| failed("write", source))?;
    let temporary = out.into_inner().map_err(|error| failed("write", error.into_error()))?;
    temporary.as_file().sync_all().map_err(|source| failed("write", source))?;
    temporary.persist_noclobber(&path).map_err(|error| failed("create", error.error))?;
    let what = path.display().to_string();
    output.show(&Verified { what, summary }, |Verified { what, summary }, _| match args.format {
        ExportFormat::Jsonl => format!("{what}: {}", in_words(summary)),
        ExportFormat::Csv => format!("{what}: {} events", summary.events),
    });
    Ok(())
}

type Span = (Option<Timestamp>, Option<Timestamp>);

/// Writes page by page, whatever the length of the history.
async fn write<W: Write>(
    context: &Context,
    span: Span,
    format: ExportFormat,
    out: W,
) -> Result<(W, Summary), CliError> {
    match format {
        ExportFormat::Jsonl => {
            let mut writer = Writer::new(out);
            let now = pages(context, span, |event| writer.event(event).map_err(broken)).await?;
            writer.finish(now).map_err(broken)
        }
        ExportFormat::Csv => {
            // Checked on the way all the same.
            let mut chain = Writer::new(std::io::sink());
            let mut table = csv::Writer::from_writer(out);
            let bad = |error: csv::Error| CliError::io("could not write the table", error.into());
            table.write_record(COLUMNS).map_err(bad)?;
            let now = pages(context, span, |event| {
                chain.event(event).map_err(broken)?;
                table.write_record(row(event)).map_err(bad)
            })
            .await?;
            let (_, summary) = chain.finish(now).map_err(broken)?;
            let out = table.into_inner().map_err(|error| {
                CliError::io("could not write the table", std::io::Error::other(error.to_string()))
            })?;
            Ok((out, summary))
        }
    }
}

const COLUMNS: [&str; 9] =
    ["number", "time", "level", "group", "appliance", "operation", "actor", "what", "digest"];

fn row(event: &Event) -> [String; 9] {
    let word = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let level = serde_json::to_value(event.level).unwrap_or_default();
    [
        event.link.number.to_string(),
        Timestamp(event.at).to_string(),
        word(&level),
        event.group.as_ref().map(ToString::to_string).unwrap_or_default(),
        event.appliance.as_ref().map(ToString::to_string).unwrap_or_default(),
        event.operation.map(|operation| operation.to_string()).unwrap_or_default(),
        render::actor(&event.actor),
        inert(&event.to_string()),
        event.link.digest.to_string(),
    ]
}

/// Spreadsheets take text for a formula that begins like one (OWASP, "CSV Injection").
fn inert(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

/// Hands each event to `take`, oldest first; gives where the chain stood at the last page.
async fn pages(
    context: &Context,
    (since, until): Span,
    mut take: impl FnMut(&Event) -> Result<(), CliError>,
) -> Result<Chain, CliError> {
    let consistency = Consistency::Linearizable;
    let mut filter = RecordFilter { after: None, since, until, limit: MAX_LIMIT, consistency };
    loop {
        let page = context.client.records(&filter).await?;
        for event in &page.records {
            take(event)?;
        }
        match page.records.last() {
            Some(last) if page.more => {
                filter.after = Some(Cursor { index: last.index, seq: last.seq });
            }
            _ => return Ok(page.chain),
        }
    }
}

/// The history that the cluster has.
pub(super) async fn verify(context: Context, args: VerifyArgs, output: &Output) -> Result<(), CliError> {
    let mut writer = Writer::new(std::io::sink());
    let now = pages(&context, (None, None), |event| writer.event(event).map_err(broken)).await?;
    let (_, summary) = writer.finish(now).map_err(broken)?;
    report("the cluster's history".to_owned(), summary, args.head, output)
}

/// A file, with no cluster at hand.
pub(in crate::cli) fn verify_file(path: &Path, args: &VerifyArgs, output: &Output) -> Result<(), CliError> {
    let name = path.display().to_string();
    let opened = File::open(path).map_err(|source| CliError::io(format!("could not open {name}"), source))?;
    let summary = file::verify(BufReader::new(opened))
        .map_err(|source| CliError::History { what: name.clone(), source: Box::new(source) })?;
    report(name, summary, args.head, output)
}

fn report(what: String, summary: Summary, head: Option<Digest>, output: &Output) -> Result<(), CliError> {
    if let Some(expected) = head
        && expected != summary.head
    {
        return Err(CliError::HistoryHead { what, expected, found: summary.head });
    }
    output.show(&Verified { what, summary }, |Verified { what, summary }, _| {
        format!("{what}: {}; nothing was changed, removed, inserted or reordered", in_words(summary))
    });
    Ok(())
}

fn in_words(summary: &Summary) -> String {
    match (summary.first, summary.last) {
        (Some(first), Some(last)) => {
            format!(
                "{} events, numbers {first} to {last}, the last has the digest {}",
                summary.events, summary.head
            )
        }
        _ => "no events".to_owned(),
    }
}

fn broken(error: FileError) -> CliError {
    CliError::History { what: "the cluster's history".to_owned(), source: Box::new(error) }
}
