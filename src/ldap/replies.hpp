// SPDX-License-Identifier: Apache-2.0
// Replies: what a server says to one question, taken a message at a time and within bounds, so that
// a server that talks without end, or of what nobody asked for, fills no memory. Private to the
// room's libldap side. Lives as long as the question; one thread.
#pragma once

#include "ldap/entry.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

struct ldap;
struct ldapcontrol;
struct ldapmsg;

namespace uidnfs::ldap {

struct FreeMessage {
    void operator()(::ldapmsg* message) const;
};
using Message = std::unique_ptr<::ldapmsg, FreeMessage>;

struct FreeControls {
    void operator()(::ldapcontrol** controls) const;
};
using Controls = std::unique_ptr<::ldapcontrol*, FreeControls>;

/// Text that libldap allocated.
struct FreeMemory {
    void operator()(char* memory) const;
};
using Memory = std::unique_ptr<char, FreeMemory>;

/// What libldap said last: its code, never LDAP_SUCCESS, and its words.
int last_error(::ldap* ld);
std::string diagnostic(::ldap* ld);

/// A search under way.
struct PendingSearch {
    int id = 0;
    std::size_t most = 0;  ///< entries; one more ends it with LDAP_SIZELIMIT_EXCEEDED
    SearchAnswer answer = {};
    std::string cookie = {};  ///< where the next page begins (RFC 2696); empty after the last one
    enum class Stage { open, done } stage = Stage::open;
};

class Replies {
public:
    explicit Replies(::ldap* ld) noexcept : ld_(ld) {}

    /// The result of the operation `id`, which is the only one under way. Nothing: `code` and
    /// `text` say why.
    Message take_result(int id, int& code, std::string& text);

    /// Until each of them has its answer, in whatever order they come.
    void take(std::vector<PendingSearch>& searches);

private:
    Message receive(int& code, std::string& text);
    void take_entry(::ldapmsg* message, PendingSearch& search);
    void read_result(::ldapmsg* message, PendingSearch& search);

    ::ldap* ld_;
    std::size_t bytes_left_ = 16u << 20;  // of entries; ten thousand groups take less
};

}  // namespace uidnfs::ldap
