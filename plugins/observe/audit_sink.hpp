// SPDX-License-Identifier: Apache-2.0
// AuditSink: where lines of the audit go: the journal or a file. One write(2) or send(2) a line,
// to a local file or socket, which does not wait for long; so it is done on the reactor's thread,
// and a mount that must not happen without its line can rely on it.
#pragma once

#include "core/error.hpp"
#include "core/fd.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace uidnfs::plugins {

class AuditSink {
public:
    virtual ~AuditSink() = default;
    /// All of `line`, which has no newline, or an errno.
    virtual core::Result<void> write(std::string_view line) = 0;
    /// After a rotation. A failure: it goes on with what it had.
    virtual core::Outcome<void> reopen() = 0;
    /// For messages: "the journal", or the path.
    virtual std::string name() const = 0;
};

/// Appends; a file that is not there yet is made with mode 0640, and a link is not followed. A line
/// that was torn, because the disk was full, does not spoil the next.
core::Outcome<std::unique_ptr<AuditSink>> open_audit_file(const std::string& path);

inline constexpr std::string_view kJournalSocket = "/run/systemd/journal/socket";
inline constexpr std::string_view kAuditIdentifier = "uidnfs-audit";  // journalctl -t

/// The journal's own protocol (systemd, JOURNAL_NATIVE_PROTOCOL), identifier kAuditIdentifier.
/// Where `socket` does not exist lines go to `otherwise`, which is standard error.
std::unique_ptr<AuditSink> make_journal_sink(
    std::string socket = std::string(kJournalSocket), int otherwise = 2
);

/// "journal" or an absolute path, as in audit.destination.
core::Outcome<std::unique_ptr<AuditSink>> open_audit_sink(const std::string& destination);

}  // namespace uidnfs::plugins
