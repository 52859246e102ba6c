// Runs docs/serial/edgemass.ino on a PC. With an argument it does not run the sketch, but reads lines from standard
// input and says what its parser makes of each, a line of text for each line of input.
#include "edgemass.ino"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

SerialPort Serial;

static volatile sig_atomic_t presses = 0;
static int ledLevel = -1;

unsigned long millis() {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (unsigned long)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

void pinMode(int, int) {}

void digitalWrite(int pin, int level) {
  if (level == ledLevel) return;
  ledLevel = level;
  fprintf(stderr, "pin %d %s\n", pin, level == HIGH ? "high" : "low");
}

int digitalRead(int) {
  if (presses == 0) return HIGH;
  presses = 0;
  return LOW;
}

void SerialPort::begin(long) {}

int SerialPort::available() {
  struct pollfd input = {0, POLLIN, 0};
  if (poll(&input, 1, 1) > 0 && input.revents & (POLLHUP | POLLERR) && !(input.revents & POLLIN)) exit(0);
  return input.revents & POLLIN ? 1 : 0;
}

int SerialPort::read() {
  unsigned char byte;
  ssize_t count = ::read(0, &byte, 1);
  if (count == 0 || (count < 0 && errno != EAGAIN)) exit(0);
  return count == 1 ? byte : -1;
}

size_t SerialPort::print(const char *text) {
  size_t length = strlen(text), done = 0;
  while (done < length) {
    ssize_t count = ::write(1, text + done, length - done);
    if (count < 0 && errno != EAGAIN) exit(0);
    if (count > 0) done += (size_t)count;
  }
  return length;
}

static void press(int) { presses = 1; }

static void parseAll() {
  int byte;
  while ((byte = getchar()) != EOF) {
    bool ended = collect((char)byte);
    if (byte != '\n') continue;
    if (!ended || !unseal(line)) {
      printf("damaged\n");
      continue;
    }
    char kind[24], camera[24];
    readString(find(line, "k"), kind, sizeof kind);
    readString(find(line, "c"), camera, sizeof camera);
    printf("%s|%s|%ld|%ld", kind, camera, readInt(find(line, "n"), -1), readInt(find(line, "x"), 0));
    const char *cursor = find(line, "d");
    Thing thing;
    while (nextThing(cursor, thing))
      printf("|%s,%d,%d,%d,%d,%d,%ld", thing.label, thing.score, thing.x1, thing.y1, thing.x2, thing.y2, thing.track);
    printf("\n");
  }
}

int main(int count, char **) {
  if (count > 1) {
    parseAll();
    return 0;
  }
  signal(SIGUSR1, press);
  setup();
  while (true) loop();
}
