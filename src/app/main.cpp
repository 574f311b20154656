// SPDX-License-Identifier: Apache-2.0
// uidnfs: launcher, keeper, worker and the small commands in one binary.
#include "app/commands.hpp"

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace {

class Terminal final : public uidnfs::app::Console {
public:
    void print(std::string_view text) override { write_all(STDOUT_FILENO, text); }
    void complain(std::string_view text) override {
        write_all(STDERR_FILENO, std::string(text) + '\n');
    }

private:
    static void write_all(int fd, std::string_view text) {
        while (!text.empty()) {
            const auto size = ::write(fd, text.data(), text.size());
            if (size <= 0) return;  // nobody is left to tell
            text.remove_prefix(static_cast<std::size_t>(size));
        }
    }
};

}  // namespace

int main(int argc, char** argv) {
    Terminal terminal;
    try {
        return uidnfs::app::run_program(std::vector<std::string>(argv, argv + argc), terminal);
    } catch (const std::exception& error) {
        terminal.complain(std::string("uidnfs: internal error: ") + error.what());
        return uidnfs::app::kExitFailed;
    }
}
