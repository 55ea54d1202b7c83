// Exceptions and objects that travel between three libraries of one wheel.
#pragma once
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#define EXPORT __attribute__((visibility("default")))

struct EXPORT Trouble : std::runtime_error {
    explicit Trouble(const std::string &text, int depth);
    ~Trouble() override;
    virtual std::string kind() const;
    int depth;
};

struct EXPORT DeepTrouble : Trouble {
    explicit DeepTrouble(const std::string &text, int depth);
    ~DeepTrouble() override;
    std::string kind() const override;
};

// libtrouble.so
EXPORT void throw_trouble(int depth);
EXPORT std::shared_ptr<Trouble> make_trouble(int depth);
EXPORT std::exception_ptr keep_trouble(int depth);

// libwork.so: calls what it is given, and libtrouble
typedef void (*Step)(int);
EXPORT std::string work(const std::string &task, Step step);
