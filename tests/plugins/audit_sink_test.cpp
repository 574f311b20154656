// SPDX-License-Identifier: Apache-2.0
// Where lines of the audit go: files that are rotated or full, journals that come and go.
#include "plugins/observe/audit_sink.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace uidnfs::plugins::testing {
namespace {

using ::testing::HasSubstr;

class AuditSinkTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::string name = ::testing::TempDir() + "uidnfs-audit-XXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        root = name;
        path = root + "/audit.log";
    }
    void TearDown() override { std::filesystem::remove_all(root); }

    static std::string read(const std::string& file) {
        std::ostringstream out;
        out << std::ifstream(file).rdbuf();
        return out.str();
    }
    std::unique_ptr<AuditSink> open() {
        auto sink = open_audit_file(path);
        EXPECT_TRUE(sink) << sink.error().user_text;
        return std::move(*sink);
    }
    /// As journald: a datagram socket.
    core::Fd listen_as_journal() {
        core::Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        const auto where = root + "/journal";
        std::memcpy(address.sun_path, where.c_str(), where.size() + 1);
        ::unlink(where.c_str());
        EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        return fd;
    }
    static std::string receive(const core::Fd& fd) {
        std::array<char, 4096> buffer;
        const auto size = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
        return size < 0 ? "nothing" : std::string(buffer.data(), static_cast<std::size_t>(size));
    }

    std::string root;
    std::string path;
};

/// No file of this process may grow beyond it.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes) {
        ::signal(SIGXFSZ, SIG_IGN);
        ::getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit{bytes, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;
    ~FileSizeLimit() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        ::signal(SIGXFSZ, SIG_DFL);
    }

private:
    rlimit before_{};
};

TEST_F(AuditSinkTest, a_file_gets_a_line_each_and_nobody_else_can_read_it) {
    const auto before = ::umask(0);
    const auto sink = open();
    ::umask(before);
    EXPECT_TRUE(sink->write("one"));
    EXPECT_TRUE(sink->write("two"));
    EXPECT_EQ(read(path), "one\ntwo\n");
    struct stat st {};
    ASSERT_EQ(::stat(path.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0640u);
}

TEST_F(AuditSinkTest, a_file_that_is_there_is_continued) {
    std::ofstream(path) << "old\n";
    EXPECT_TRUE(open()->write("new"));
    EXPECT_EQ(read(path), "old\nnew\n");
}

TEST_F(AuditSinkTest, a_rotated_file_is_left_at_reopen) {
    const auto sink = open();
    EXPECT_TRUE(sink->write("one"));
    std::filesystem::rename(path, path + ".1");
    EXPECT_TRUE(sink->write("two"));
    EXPECT_TRUE(sink->reopen());
    EXPECT_TRUE(sink->write("three"));
    EXPECT_EQ(read(path + ".1"), "one\ntwo\n");
    EXPECT_EQ(read(path), "three\n");
}

TEST_F(AuditSinkTest, a_reopen_that_fails_goes_on_with_the_old_file) {
    const auto sink = open();
    std::filesystem::rename(path, path + ".1");
    std::filesystem::create_directory(path);
    const auto done = sink->reopen();
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().user_text, HasSubstr("cannot open the audit file " + path));
    EXPECT_TRUE(sink->write("one"));
    EXPECT_EQ(read(path + ".1"), "one\n");
}

TEST_F(AuditSinkTest, a_file_that_was_removed_is_made_anew) {
    const auto sink = open();
    EXPECT_TRUE(sink->write("one"));
    std::filesystem::remove(path);
    EXPECT_TRUE(sink->write("two"));
    EXPECT_EQ(read(path), "two\n");
}

TEST_F(AuditSinkTest, one_that_cannot_be_made_anew_is_an_error_until_it_can) {
    const auto sink = open();
    std::filesystem::remove(path);
    std::filesystem::create_directory(path);
    EXPECT_EQ(sink->write("one").error().code(), EISDIR);
    std::filesystem::remove(path);
    EXPECT_TRUE(sink->write("two"));
    EXPECT_EQ(read(path), "two\n");
}

TEST_F(AuditSinkTest, half_a_line_is_taken_back) {
    const auto sink = open();
    EXPECT_TRUE(sink->write("one"));
    {
        const FileSizeLimit full(8);
        EXPECT_EQ(sink->write("abcdefgh").error().code(), ENOSPC);
        EXPECT_EQ(sink->write("abcdefgh").error().code(), ENOSPC);
        EXPECT_EQ(read(path), "one\n");
    }
    EXPECT_TRUE(sink->write("next"));
    EXPECT_EQ(read(path), "one\nnext\n");
}

TEST_F(AuditSinkTest, what_is_no_file_is_refused_and_does_not_hang) {
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    EXPECT_FALSE(open_audit_file(path));
    EXPECT_FALSE(open_audit_file(root));
    EXPECT_FALSE(open_audit_file("/dev/null"));
    EXPECT_EQ(open_audit_file(root + "/no/audit.log").error().code, ENOENT);
}

TEST_F(AuditSinkTest, the_journal_gets_its_own_protocol) {
    const auto journal = listen_as_journal();
    const auto sink = make_journal_sink(root + "/journal", -1);
    EXPECT_TRUE(sink->write(R"({"event":"mount"})"));
    EXPECT_EQ(
        receive(journal),
        "MESSAGE={\"event\":\"mount\"}\nPRIORITY=5\nSYSLOG_IDENTIFIER=uidnfs-audit\n"
    );
}

TEST_F(AuditSinkTest, a_journal_that_was_started_anew_is_found_again) {
    auto journal = listen_as_journal();
    const auto sink = make_journal_sink(root + "/journal", -1);
    EXPECT_TRUE(sink->write("one"));
    journal = listen_as_journal();
    EXPECT_TRUE(sink->write("two"));
    EXPECT_THAT(receive(journal), HasSubstr("MESSAGE=two\n"));
}

TEST_F(AuditSinkTest, a_journal_that_reads_nothing_is_an_error_and_no_hang) {
    const auto journal = listen_as_journal();
    const auto sink = make_journal_sink(root + "/journal", -1);
    int code = 0;
    for (int i = 0; i < 100'000 && code == 0; ++i) {
        if (const auto written = sink->write("line"); !written) code = written.error().code();
    }
    EXPECT_EQ(code, EAGAIN);
    EXPECT_THAT(receive(journal), HasSubstr("MESSAGE=line\n"));
    EXPECT_TRUE(sink->write("line"));
}

TEST_F(AuditSinkTest, without_a_journal_lines_go_to_standard_error) {
    const core::Fd out(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const auto sink = make_journal_sink(root + "/journal", out.get());
    EXPECT_TRUE(sink->write("one"));
    EXPECT_EQ(read(path), "one\n");
}

}  // namespace
}  // namespace uidnfs::plugins::testing
