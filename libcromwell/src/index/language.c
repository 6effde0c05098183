/* language.c: which language a file is written in. */
#include <string.h>

#include "index/lex.h"

static const char *const names[CW_LANG_COUNT] = {
    "",     "python", "javascript", "typescript", "c",   "cpp",  "go",   "rust", "java", "csharp",   "php", "ruby", "swift",
    "kotlin", "scala", "dart",      "shell",      "lua", "perl", "sql",  "html", "css",  "json",     "yaml", "toml", "xml",
    "markdown", "rst", "text",      "make",       "cmake", "haskell", "cython", "julia", "r", "elixir", "vue", "proto", "docker"};

static const struct {
  char suffix[12];
  uint8_t language;
} suffixes[] = {
    {"py", CW_LANG_PYTHON},     {"pyi", CW_LANG_PYTHON},    {"pyw", CW_LANG_PYTHON},   {"js", CW_LANG_JAVASCRIPT},
    {"mjs", CW_LANG_JAVASCRIPT}, {"cjs", CW_LANG_JAVASCRIPT}, {"jsx", CW_LANG_JAVASCRIPT}, {"ts", CW_LANG_TYPESCRIPT},
    {"mts", CW_LANG_TYPESCRIPT}, {"cts", CW_LANG_TYPESCRIPT}, {"tsx", CW_LANG_TYPESCRIPT}, {"c", CW_LANG_C},
    {"h", CW_LANG_C},           {"cc", CW_LANG_CPP},        {"cpp", CW_LANG_CPP},      {"cxx", CW_LANG_CPP},
    {"c++", CW_LANG_CPP},       {"hpp", CW_LANG_CPP},       {"hh", CW_LANG_CPP},       {"hxx", CW_LANG_CPP},
    {"cu", CW_LANG_CPP},        {"cuh", CW_LANG_CPP},       {"go", CW_LANG_GO},        {"rs", CW_LANG_RUST},
    {"java", CW_LANG_JAVA},     {"cs", CW_LANG_CSHARP},     {"php", CW_LANG_PHP},      {"rb", CW_LANG_RUBY},
    {"rake", CW_LANG_RUBY},     {"swift", CW_LANG_SWIFT},   {"kt", CW_LANG_KOTLIN},    {"kts", CW_LANG_KOTLIN},
    {"scala", CW_LANG_SCALA},   {"dart", CW_LANG_DART},     {"sh", CW_LANG_SHELL},     {"bash", CW_LANG_SHELL},
    {"zsh", CW_LANG_SHELL},     {"lua", CW_LANG_LUA},       {"pl", CW_LANG_PERL},      {"pm", CW_LANG_PERL},
    {"sql", CW_LANG_SQL},       {"html", CW_LANG_HTML},     {"htm", CW_LANG_HTML},     {"css", CW_LANG_CSS},
    {"scss", CW_LANG_CSS},      {"less", CW_LANG_CSS},      {"json", CW_LANG_JSON},    {"yaml", CW_LANG_YAML},
    {"yml", CW_LANG_YAML},      {"toml", CW_LANG_TOML},     {"xml", CW_LANG_XML},      {"svg", CW_LANG_XML},
    {"md", CW_LANG_MARKDOWN},   {"markdown", CW_LANG_MARKDOWN}, {"rst", CW_LANG_RST},  {"txt", CW_LANG_TEXT},
    {"mk", CW_LANG_MAKE},       {"cmake", CW_LANG_CMAKE},   {"hs", CW_LANG_HASKELL},   {"pyx", CW_LANG_CYTHON},
    {"pxd", CW_LANG_CYTHON},    {"jl", CW_LANG_JULIA},      {"r", CW_LANG_R},          {"ex", CW_LANG_ELIXIR},
    {"exs", CW_LANG_ELIXIR},    {"vue", CW_LANG_VUE},       {"proto", CW_LANG_PROTO}};

static const struct {
  char name[20];
  uint8_t language;
} whole_names[] = {{"Makefile", CW_LANG_MAKE}, {"GNUmakefile", CW_LANG_MAKE}, {"makefile", CW_LANG_MAKE}, {"CMakeLists.txt", CW_LANG_CMAKE},
                   {"Dockerfile", CW_LANG_DOCKER}, {"Rakefile", CW_LANG_RUBY}, {"Gemfile", CW_LANG_RUBY}};

static const struct {
  char program[12];
  uint8_t language;
} programs[] = {{"python", CW_LANG_PYTHON}, {"bash", CW_LANG_SHELL}, {"zsh", CW_LANG_SHELL}, {"node", CW_LANG_JAVASCRIPT},
                {"ruby", CW_LANG_RUBY},     {"perl", CW_LANG_PERL},  {"/sh", CW_LANG_SHELL}};

const char *cw_language_name(uint32_t language) { return language < CW_LANG_COUNT ? names[language] : NULL; }

static cw_language by_first_line(const uint8_t *text, size_t size) {
  char line[128];
  if (size < 2 || text[0] != '#' || text[1] != '!') return CW_LANG_NONE;
  size_t length = 0;
  while (length < sizeof line - 1 && length < size && text[length] != '\n' && text[length] != 0) line[length] = (char)text[length], length++;
  line[length] = 0;
  for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
    if (strstr(line, programs[i].program) != NULL) return (cw_language)programs[i].language;
  return CW_LANG_NONE;
}

cw_language cw_language_of(const char *path, const uint8_t *text, size_t size) {
  const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
  for (size_t i = 0; i < sizeof whole_names / sizeof *whole_names; i++)
    if (strcmp(name, whole_names[i].name) == 0) return (cw_language)whole_names[i].language;
  const char *dot = strrchr(name, '.');
  if (dot == NULL) return by_first_line(text, size);
  char suffix[12] = {0};
  if (strlen(dot + 1) >= sizeof suffix) return CW_LANG_NONE;
  for (size_t i = 0; dot[1 + i] != 0; i++) suffix[i] = dot[1 + i] >= 'A' && dot[1 + i] <= 'Z' ? (char)(dot[1 + i] | 0x20) : dot[1 + i];
  for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
    if (strcmp(suffix, suffixes[i].suffix) == 0) return (cw_language)suffixes[i].language;
  return CW_LANG_NONE;
}
