// SPDX-License-Identifier: Apache-2.0
// Files whose content others must not see, or must not change. Every check is made on the open
// descriptor, so that what is read is what was judged.
#pragma once

#include "core/error.hpp"
#include "core/fd.hpp"
#include "core/secret.hpp"

#include <sys/types.h>

#include <string>
#include <vector>

namespace uidnfs::plugins {

/// Whose files are believed, and which groups may read a secret: root, whoever runs this process,
/// and the service user with its group.
struct Trust {
    std::vector<uid_t> owners;
    std::vector<gid_t> groups;
};

/// `service_user`: may be unknown here.
Trust make_trust(const std::string& service_user);

/// Who may change the configuration: root, and where root does not read it, `reader`, the user who
/// does, with `group`. Never the service user, whose mounts it limits.
Trust make_configuration_trust(uid_t reader, gid_t group);

/// What the last name of a path is in.
std::string directory_of(const std::string& path);

/// What a file is judged by: see stat(2).
struct FileFacts {
    mode_t mode = 0;
    uid_t owner = 0;
    gid_t group = 0;
};

/// "why not; what to do" when others or an untrusted group can read or change it, or somebody else
/// owns it; empty when it can be used. 0640 root:service-group and 0400 are fine.
std::string judge_secret(const FileFacts& facts, const Trust& trust);

/// The same for a file that everybody may read and only trusted people may change.
std::string judge_public(const FileFacts& facts, const Trust& trust);

/// The same for the directory `path`, in which a file could be replaced by whoever can write to it;
/// in a sticky one only by its owner.
std::string judge_directory(const std::string& path, const FileFacts& facts, const Trust& trust);

/// Failure::user_text is "why not; what to do", without the path. A line feed at the end is
/// dropped. At most 4096 bytes; empty ones, NUL and other files than regular ones are refused.
/// EPERM: its mode or owner; EACCES: this process may not open it.
core::Outcome<core::Secret> read_secret(const std::string& path, const Trust& trust);

/// "why not; what to do" where read_secret() would refuse it for its mode or because it is not
/// there; the content is not read.
std::string check_secret_file(const std::string& path, const Trust& trust);

/// The same for a secret that a client of this service reads too: whichever group may read it, that
/// group is believed to be the client's.
std::string check_clients_secret_file(const std::string& path, const Trust& trust);

/// A configuration file, at most 1 MiB; refused when others can change it, or replace it in its
/// directory (where `path` is a link: in both).
core::Outcome<std::string> read_public(const std::string& path, const Trust& trust);

}  // namespace uidnfs::plugins
