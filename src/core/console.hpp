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
    void print(std::string_view text) override;
    void complain(std::string_view text) override;
};

}  // namespace uidnfs::core
