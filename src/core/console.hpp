// SPDX-License-Identifier: Apache-2.0
// Console: where a command writes to. A whole program is a function of it, so that help, errors
// and exit codes are under test.
#pragma once

#include <string_view>

namespace uidnfs::core {

class Console {
public:
    virtual ~Console() = default;
    /// Standard output, as it is.
    virtual void print(std::string_view text) = 0;
    /// One message on standard error; a line feed is added.
    virtual void complain(std::string_view text) = 0;
};

/// The real one: descriptors 1 and 2. What nobody reads any more is lost without a word.
class Terminal final : public Console {
public:
    /// Those of 0, 1 and 2 that are closed lead nowhere from now on. REQUIRES: nothing else is open
    /// yet: it would have their numbers, and get what is said.
    Terminal();

    void print(std::string_view text) override;
    void complain(std::string_view text) override;

    /// The exit status of a program that would end with `status`: 1 instead of 0, and a word on
    /// standard error, where standard output did not take all of it (a full disk).
    int end(std::string_view program, int status);

private:
    int lost_ = 0;  // errno of the first print that failed
};

}  // namespace uidnfs::core
