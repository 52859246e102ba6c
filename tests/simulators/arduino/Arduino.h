// As much of Arduino as docs/serial/edgemass.ino uses, on a PC: Serial is standard input and output, pins are told on
// standard error, SIGUSR1 presses the button for a moment.
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOW, HIGH };
enum { INPUT, OUTPUT, INPUT_PULLUP };

unsigned long millis();
void pinMode(int pin, int mode);
void digitalWrite(int pin, int level);
int digitalRead(int pin);

struct SerialPort {
  void begin(long baud);
  int available();
  int read();
  size_t print(const char *text);
};
extern SerialPort Serial;
