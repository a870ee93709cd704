// Declaring, reading and writing structs. Beside it: value.h (documents without a struct),
// describe.h (JSON Schema), yaml.h.
#pragma once
#include "json/quantity.h"
#include "json/reader.h"
#include "json/rules.h"
#include "json/writer.h"
