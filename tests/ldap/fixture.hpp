// SPDX-License-Identifier: Apache-2.0
// The world of the directory tests: one CA, one slapd for most of them, options that fit it.
#pragma once

#include "core/log.hpp"
#include "ldap/directory.hpp"
#include "ldap/people.hpp"
#include "ldap/slapd.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace uidnfs::test {

using namespace std::chrono_literals;
using ldap::Answer;
using ldap::Directory;
using ldap::FailureKind;
using ldap::Identity;

/// Started by the first test that needs them, ended with the program.
const Authority& authority();
Slapd& shared_slapd();
/// Of this machine; the shared slapd's certificate is for it and for 127.0.0.1.
std::string host_name();

/// Users of people() by uid; no groups.
ldap::Options options_for(const Slapd& slapd);
std::vector<std::uint32_t> groups_of(const Identity& identity);

inline Answer<Identity> ask(
    Directory& directory, const std::string& user, std::string_view password
) {
    return directory.resolve(user, core::Secret(password));
}
inline Answer<Identity> ask(Directory& directory, const std::string& user) {
    return ask(directory, user, "password-of-" + user);
}

/// Its kind, or "ok".
std::string outcome(const Answer<Identity>& answer);

/// Lines of the log while it lives.
class LogFile {
public:
    LogFile() {
        static_cast<void>(core::log::configure(
            {core::log::Level::trace, core::log::Destination::file, folder_.path("log")}
        ));
    }
    ~LogFile() { static_cast<void>(core::log::configure({core::log::Level::off})); }
    std::string text() const { return read_file(folder_.path("log")); }

private:
    TemporaryFolder folder_;
};

/// How long `work` took.
template <class Work>
std::chrono::milliseconds timed(const Work& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - begin
    );
}

/// Polls until `done` or some seconds are over; whether it was.
template <class Done>
bool eventually(const Done& done, std::chrono::milliseconds most = 10s) {
    const auto until = std::chrono::steady_clock::now() + most;
    while (!done()) {
        if (std::chrono::steady_clock::now() > until) return false;
        std::this_thread::sleep_for(20ms);
    }
    return true;
}

}  // namespace uidnfs::test
