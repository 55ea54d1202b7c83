// As started.c, in C++: objects, exceptions, threads and shared pointers.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static int count;
struct Global {
    const char *name;
    explicit Global(const char *given) : name(given) { printf("made %s %d\n", name, ++count); }
    ~Global() { printf("gone %s %d\n", name, count--); }
};
static Global one("one"), two("two");
thread_local std::string mine = "mine";
struct Local {
    ~Local() { printf("thread ends\n"); }
};
static std::shared_ptr<int> shared = std::make_shared<int>(5);

int main(int argc, char **argv) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    printf("main %d %s %s %s\n", argc, argv[1], getenv("MARK"), mine.c_str());
    atexit([] { printf("leave\n"); });
    try {
        throw std::runtime_error("thrown");
    } catch (const std::exception &caught) {
        printf("caught %s\n", caught.what());
    }
    int sum = 0;
    std::thread worker([&] {
        thread_local Local local;
        (void)&local;
        mine += " too";
        auto copy = shared;
        for (int i = 0; i < 10; i++)
            sum += i + *copy;
    });
    worker.join();
    std::vector<std::string> words(3, "word");
    static Global three("three");
    printf("sum %d %s %s %ld\n", sum, words[2].c_str(), mine.c_str(), shared.use_count());
    return 7;
}
