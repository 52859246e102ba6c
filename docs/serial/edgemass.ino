// The other end of an edgemass serial line: reads its lines, lights the LED while a person is in view, and asks for a
// snapshot when the button is pressed. See docs/serial.md. Needs no library, and less than half a kilobyte of memory.
//
//   edgemass run --camera 0 --sink 'serial:///dev/ttyACM0?max_line=128'

#include <Arduino.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const long BAUD = 115200;
const size_t MAX_LINE = 128;  // the same as max_line= of the address
const char CAMERA[] = "cam0";  // of the snapshot
const int LED = 13, BUTTON = 2;
const int SURE_PERCENT = 60;
const unsigned long AGAIN_MS = 2000;  // no answer: ask again, under the same number
const int TRIES = 5;
const unsigned long SILENCE_MS = 30000;  // nothing at all for so long: nobody knows who is in view

// One thing in a frame: a score in percent, a box in thousandths of the frame, track -1 where there is none.
struct Thing {
  char label[24];
  int score, x1, y1, x2, y2;
  long track;
};

// ---- lines -------------------------------------------------------------------------------------------------------

// CRC-16/CCITT-FALSE; of "123456789" it is 0x29B1.
uint16_t crc16(const char *text, size_t length) {
  uint16_t crc = 0xFFFF;
  while (length--) {
    crc ^= (uint16_t)((uint8_t)*text++) << 8;
    for (int bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (uint16_t)(crc << 1) ^ 0x1021 : (uint16_t)(crc << 1);
  }
  return crc;
}

int hex(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

// Takes the CRC off a line, in place; false where it is wrong.
bool unseal(char *line) {
  size_t length = strlen(line);
  if (length < 6 || line[length - 5] != '*') return false;
  uint16_t said = 0;
  for (size_t at = length - 4; at < length; at++) {
    if (hex(line[at]) < 0) return false;
    said = (uint16_t)(said << 4 | hex(line[at]));
  }
  line[length - 5] = 0;
  return crc16(line, length - 5) == said;
}

// Sends {"n":<number>,<rest>} with its CRC; rest: the other keys, as in "k":"snapshot".
void sendLine(unsigned number, const char *rest) {
  char line[MAX_LINE];
  int length = snprintf(line, sizeof line, "{\"n\":%u,%s}", number, rest);
  if (length < 0 || (size_t)length + 6 >= sizeof line) return;
  snprintf(line + length, sizeof line - length, "*%04X\n", (unsigned)crc16(line, length));
  Serial.print(line);
}

// Collects bytes; true when `line` holds a whole one.
char line[MAX_LINE + 1];
size_t held = 0;
bool tooLong = false;

bool collect(char byte) {
  if (byte != '\n') {
    if (byte == '\r') return false;
    if (held < MAX_LINE) line[held++] = byte;
    else tooLong = true;
    return false;
  }
  line[held] = 0;
  bool whole = held > 0 && !tooLong;
  held = 0;
  tooLong = false;
  return whole;
}

// ---- just enough JSON ----------------------------------------------------------------------------------------------
// Lines come from edgemass with a right CRC: they are JSON without spaces, ASCII only.

// Behind the string that begins at `at`, its quotes included.
const char *pastString(const char *at) {
  for (at++; *at && *at != '"'; at++)
    if (*at == '\\' && at[1]) at++;
  return *at ? at + 1 : at;
}

// Behind the value that begins at `at`.
const char *pastValue(const char *at) {
  int depth = 0;
  while (*at) {
    if (*at == '"') {
      at = pastString(at);
    } else if (*at == '[' || *at == '{') {
      depth++;
      at++;
    } else if (*at == ']' || *at == '}') {
      if (depth == 0) return at;
      depth--;
      at++;
    } else if (*at == ',' && depth == 0) {
      return at;
    } else {
      at++;
    }
    if (depth == 0 && (*at == ',' || *at == ']' || *at == '}')) return at;
  }
  return at;
}

// Where the value of a key of the outer object begins; 0 where there is no such key.
const char *find(const char *json, const char *key) {
  size_t length = strlen(key);
  const char *at = *json == '{' ? json + 1 : json;
  while (*at == '"') {
    const char *name = at + 1;
    at = pastString(at);
    if (*at != ':') return 0;
    at++;
    if (strncmp(name, key, length) == 0 && name[length] == '"') return at;
    at = pastValue(at);
    if (*at == ',') at++;
  }
  return 0;
}

// The string at `at`, cut to what fits, without its quotes; \" and \\ are undone, \u.... stays as it is.
const char *readString(const char *at, char *out, size_t size) {
  size_t length = 0;
  if (at && *at == '"') {
    const char *end = pastString(at);
    for (at++; at < end - 1; at++) {
      if (*at == '\\' && (at[1] == '"' || at[1] == '\\')) at++;
      if (length + 1 < size) out[length++] = *at;
    }
    at = end;
  }
  out[length] = 0;
  return at;
}

long readInt(const char *at, long otherwise) { return at && (*at == '-' || (*at >= '0' && *at <= '9')) ? atol(at) : otherwise; }

bool is(const char *json, const char *key, const char *value) {
  char text[24];
  readString(find(json, key), text, sizeof text);
  return strcmp(text, value) == 0;
}

// The next row of "d" of a det line. cursor: begin with find(json, "d"); false after the last one.
bool nextThing(const char *&cursor, Thing &thing) {
  if (!cursor || (*cursor != '[' && *cursor != ',')) return false;
  const char *at = cursor + 1;
  if (*at != '[') return false;
  cursor = pastValue(at);
  at = readString(at + 1, thing.label, sizeof thing.label);
  long numbers[6] = {0, 0, 0, 0, 0, -1};
  for (int index = 0; index < 6 && *at == ','; index++) {
    numbers[index] = readInt(at + 1, -1);
    at = pastValue(at + 1);
  }
  thing.score = (int)numbers[0];
  thing.x1 = (int)numbers[1];
  thing.y1 = (int)numbers[2];
  thing.x2 = (int)numbers[3];
  thing.y2 = (int)numbers[4];
  thing.track = numbers[5];
  return true;
}

// ---- what this sketch does with it -----------------------------------------------------------------------------------

unsigned number = 0;  // of our last request
unsigned waitingFor = 0;  // its number, while its answer has not come
unsigned long askedAt = 0, heardAt = 0;
int triesLeft = 0;
bool wasPressed = false;

void askForSnapshot() {
  char rest[64];
  snprintf(rest, sizeof rest, "\"k\":\"snapshot\",\"c\":\"%s\"", CAMERA);
  sendLine(waitingFor, rest);
}

void handle(const char *json) {
  heardAt = millis();
  if (is(json, "k", "det")) {
    bool person = false;
    const char *cursor = find(json, "d");
    Thing thing;
    while (nextThing(cursor, thing))
      if (strcmp(thing.label, "person") == 0 && thing.score >= SURE_PERCENT) person = true;
    digitalWrite(LED, person ? HIGH : LOW);
  } else if (is(json, "k", "cam") && !is(json, "s", "online")) {
    digitalWrite(LED, LOW);  // nobody knows
  } else if (is(json, "k", "ans") && readInt(find(json, "r"), 0) == (long)waitingFor) {
    waitingFor = 0;
  } else if (is(json, "k", "nak") && waitingFor) {
    askForSnapshot();  // it came damaged
  }
}

void setup() {
  pinMode(LED, OUTPUT);
  pinMode(BUTTON, INPUT_PULLUP);
  Serial.begin(BAUD);
  sendLine(++number, "\"k\":\"hello\"");  // our numbers begin anew; and tell us how everything is
}

void loop() {
  while (Serial.available()) {
    if (collect((char)Serial.read()) && unseal(line)) handle(line);
  }
  bool pressed = digitalRead(BUTTON) == LOW;
  if (pressed && !wasPressed && !waitingFor) {
    number = number < 65535 ? number + 1 : 1;
    waitingFor = number;
    triesLeft = TRIES;
    askedAt = millis();
    askForSnapshot();
  }
  wasPressed = pressed;
  if (waitingFor && millis() - askedAt >= AGAIN_MS) {
    askedAt = millis();
    if (--triesLeft > 0) askForSnapshot();
    else waitingFor = 0;
  }
  if (millis() - heardAt >= SILENCE_MS) digitalWrite(LED, LOW);
}
