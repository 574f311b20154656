// SPDX-License-Identifier: Apache-2.0
// The log: levels, what is made printable, where it goes. Each test sets the log for itself.
#include "core/fd.hpp"
#include "core/log.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

namespace uidnfs::core {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class LogTest : public testing::Test {
protected:
    void SetUp() override {
        std::array<char, 64> name{"/tmp/uidnfs-log-XXXXXX"};
        ASSERT_NE(nullptr, ::mkdtemp(name.data()));
        directory_ = name.data();
        path_ = directory_ + "/log";
    }

    void TearDown() override {
        ASSERT_TRUE(log::configure({.level = log::Level::off}));
        ::unlink(path_.c_str());
        ::rmdir(directory_.c_str());
    }

    void open(log::Level level, std::string prefix = {}) {
        ASSERT_TRUE(log::configure(
            {.level = level,
             .destination = log::Destination::file,
             .file = path_,
             .prefix = std::move(prefix)}
        ));
    }

    std::string content() const {
        std::ostringstream out;
        out << std::ifstream(path_).rdbuf();
        return out.str();
    }

    std::vector<std::string> lines() const {
        std::vector<std::string> all;
        std::ifstream file(path_);
        for (std::string line; std::getline(file, line);) all.push_back(line);
        return all;
    }

    std::string directory_;
    std::string path_;
};

TEST_F(LogTest, LineHasTimeLevelPrefixAndText) {
    open(log::Level::info, "/mnt: ");
    log::info("mounted {}", 5);
    EXPECT_THAT(content(), testing::MatchesRegex(".*T[0-9:.]+[+-][0-9:]+ info /mnt: mounted 5\n"));
}

TEST_F(LogTest, LowerLevelsAreLeftOut) {
    open(log::Level::warning);
    log::debug("one");
    log::info("two");
    log::warning("three");
    log::error("four");
    ASSERT_EQ(2u, lines().size());
    EXPECT_THAT(lines()[0], EndsWith("warning three"));
    EXPECT_THAT(lines()[1], EndsWith("error four"));
}

TEST_F(LogTest, LevelOfALiveLogCanChange) {
    open(log::Level::error);
    EXPECT_FALSE(log::is_enabled(log::Level::debug));
    log::set_level(log::Level::debug);
    EXPECT_TRUE(log::is_enabled(log::Level::debug));
    log::debug("now");
    log::set_level(log::Level::error);
    log::error("end");  // written through, with what came before
    EXPECT_THAT(content(), HasSubstr("debug now\n"));
}

TEST_F(LogTest, NamesFromAServerCannotForgeLines) {
    open(log::Level::info);
    log::info("file {}", std::string("a\nb\x1b[2J\x7f\t\0z", 11));
    ASSERT_EQ(1u, lines().size());
    EXPECT_THAT(lines()[0], EndsWith("file a\\x0ab\\x1b[2J\\x7f\\x09\\x00z"));
}

TEST_F(LogTest, BytesBeyondAsciiStayAsTheyAre) {
    open(log::Level::info);
    log::info("gr\xc3\xbc\xc3\x9f");
    EXPECT_THAT(content(), EndsWith("gr\xc3\xbc\xc3\x9f\n"));
}

TEST_F(LogTest, BracesInTextAreNoFormat) {
    open(log::Level::info);
    log::write(log::Level::info, "a {} {nope} b");
    EXPECT_THAT(content(), EndsWith("a {} {nope} b\n"));
}

TEST_F(LogTest, FileIsAppendedToAndNotForOthers) {
    const auto old = ::umask(0);
    open(log::Level::info);
    ::umask(old);
    log::info("first");
    open(log::Level::info);
    log::info("second");
    EXPECT_EQ(2u, lines().size());
    struct stat st {};
    ASSERT_EQ(0, ::stat(path_.c_str(), &st));
    EXPECT_EQ(0640u, st.st_mode & 07777u);
}

TEST_F(LogTest, FileThatCannotBeOpenedLeavesTheOldLog) {
    open(log::Level::info);
    const auto bad = directory_ + "/none/log";
    const auto result = log::configure({.destination = log::Destination::file, .file = bad});
    ASSERT_FALSE(result);
    EXPECT_EQ(ENOENT, result.error().code);
    EXPECT_THAT(result.error().user_text, StartsWith("cannot open the log file " + bad + ": "));
    log::info("still here");
    EXPECT_THAT(content(), HasSubstr("still here"));
}

/// Root opens the file of a mount, maybe in a directory of the worker's user.
TEST_F(LogTest, FileThatLeadsElsewhereIsNotOpened) {
    const auto elsewhere = directory_ + "/elsewhere";
    std::ofstream(elsewhere) << "before";
    const auto refusal = [&] {
        const auto result = log::configure({.destination = log::Destination::file, .file = path_});
        return result ? std::string() : result.error().user_text;
    };
    ASSERT_EQ(0, ::symlink(elsewhere.c_str(), path_.c_str()));
    EXPECT_THAT(refusal(), HasSubstr("/log: it is a link"));
    ::unlink(elsewhere.c_str());
    EXPECT_THAT(refusal(), HasSubstr("/log: it is a link"));
    EXPECT_NE(0, ::access(elsewhere.c_str(), F_OK)) << "nothing was made there";
    ::unlink(path_.c_str());
    std::ofstream(elsewhere) << "before";
    ASSERT_EQ(0, ::link(elsewhere.c_str(), path_.c_str()));
    EXPECT_THAT(refusal(), HasSubstr("another name"));
    ::unlink(elsewhere.c_str());
    EXPECT_EQ("", refusal());
    ::unlink(path_.c_str());
    ASSERT_EQ(0, ::mkfifo(path_.c_str(), 0600));
    EXPECT_NE("", refusal()) << "and nobody waited for a reader";
}

TEST_F(LogTest, LevelsHaveNames) {
    for (const auto level :
         {log::Level::trace,
          log::Level::debug,
          log::Level::info,
          log::Level::warning,
          log::Level::error,
          log::Level::off}) {
        auto parsed = log::Level::off;
        EXPECT_TRUE(log::parse_level(log::to_string(level), parsed));
        EXPECT_EQ(level, parsed);
    }
    auto level = log::Level::info;
    EXPECT_FALSE(log::parse_level("INFO", level));
    EXPECT_FALSE(log::parse_level("", level));
    EXPECT_EQ(log::Level::info, level);
}

TEST_F(LogTest, ThreadsWriteWholeLines) {
    open(log::Level::info);
    std::vector<std::thread> writers;
    for (int i = 0; i < 4; ++i) {
        writers.emplace_back([i] {
            for (int line = 0; line < 50; ++line) log::info("writer {} ends here", i);
        });
    }
    for (auto& writer : writers) writer.join();
    ASSERT_EQ(200u, lines().size());
    for (const auto& line : lines()) EXPECT_THAT(line, EndsWith(" ends here"));
}

/// Standard error goes to a file while this lives.
class CapturedStderr {
public:
    explicit CapturedStderr(const std::string& path)
        : file_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)),
          saved_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) {
        ::dup2(file_.get(), STDERR_FILENO);
    }
    ~CapturedStderr() { ::dup2(saved_.get(), STDERR_FILENO); }

    std::string stream_name() const {
        struct stat st {};
        ::fstat(file_.get(), &st);
        return std::to_string(st.st_dev) + ":" + std::to_string(st.st_ino);
    }

private:
    Fd file_;
    Fd saved_;
};

TEST_F(LogTest, JournalGetsPrioritiesInsteadOfTimes) {
    const CapturedStderr captured(path_);
    ::setenv("JOURNAL_STREAM", captured.stream_name().c_str(), 1);
    ASSERT_TRUE(log::configure({.level = log::Level::debug}));
    ::unsetenv("JOURNAL_STREAM");
    log::debug("a");
    log::info("b");
    log::warning("c");
    log::error("d");
    EXPECT_EQ("<7>a\n<6>b\n<4>c\n<3>d\n", content());
}

TEST_F(LogTest, StreamThatOnlyInheritedTheNameGetsTimes) {
    const CapturedStderr captured(path_);
    ::setenv("JOURNAL_STREAM", "1:2", 1);
    ASSERT_TRUE(log::configure({}));
    ::unsetenv("JOURNAL_STREAM");
    log::info("b");
    EXPECT_THAT(content(), Not(StartsWith("<")));
    EXPECT_THAT(content(), EndsWith(" info b\n"));
}

}  // namespace
}  // namespace uidnfs::core
