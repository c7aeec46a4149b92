/* SPDX-License-Identifier: Apache-2.0 */
/* The table of controllers, and looking it up. */
#include "proto/http/controller.h"

#include <string.h>

#include "proto/base/error.h"

/* KNX 03_07_02: DPT 9 is 0.01 * M * 2^E with an 11-bit mantissa and its sign, DPT 14 is an IEEE 754
 * single. The vendor names no bounds for its decimals; what goes to a bus cannot exceed these. */
#define DPT9_MIN  (-671088.64)
#define DPT9_MAX  670760.96
#define DPT14_MAX 3.4028234663852886e38

#define NAMED(text)      .name = (text), .name_len = sizeof(text) - 1
#define TITLE(text)      .title = (text)
#define NAMES(list)      .choices = (list)
#define OF(cls, obj)     .device_class = CONTROLLER_CLASS_##cls, .object = CONTROLLER_OBJECT_##obj
#define STATUS(k)        .status = CONTROLLER_KIND_##k
#define TAKES(p, k)      .param = CONTROLLER_PARAM_##p, .kind = CONTROLLER_KIND_##k
#define FROM_TO(a, b)    .min = (a), .max = (b)
#define SET_INT(p, b)    .role = CONTROLLER_SET, TAKES(p, INTEGER), FROM_TO(0, b)
#define SET_INT_FB(p, b) SET_INT(p, b), .takes_fb = true, STATUS(INTEGER)
#define SET_DEC_FB                                                                                 \
    .role = CONTROLLER_SET, TAKES(CMD, DECIMAL), FROM_TO(-DPT14_MAX, DPT14_MAX), .takes_fb = true, \
    STATUS(DECIMAL)
#define GET_INT .role = CONTROLLER_GET, STATUS(INTEGER)
#define GET_DEC .role = CONTROLLER_GET, STATUS(DECIMAL)
#define TELEGRAM(k, a, b)                                                                          \
    OF(SYSTEM, TELEGRAM), .role = CONTROLLER_SET, .target = CONTROLLER_TARGET_GROUP,               \
                          TAKES(VALUE, k), FROM_TO(a, b)

/* What the numbers of the choices mean, from the smallest on; NULL at the end. */
static const char *const ON_OFF[] = {"off", "on", NULL};
static const char *const UP_DOWN[] = {"up", "down", NULL};
static const char *const STOP[] = {"stop", NULL};
static const char *const TURNS[] = {"clockwise", "counter-clockwise", NULL};
static const char *const TEMP_MODES[] = {"standby", "comfort", "night", "protection", NULL};
static const char *const HVAC_MODES[] = {"cooling", "heating", "dry", "fan", "auto", NULL};
static const char *const FAN_SPEEDS[] = {"auto", "minimum", "average", "maximum", NULL};
static const char *const STOP_LAUNCH[] = {"stop", "launch", NULL};

/* clang-format off: two lines are one controller. */
static const struct controller TABLE[] = {
    {NAMED("power"), TITLE("Switch on or off"), NAMES(ON_OFF), OF(LIGHT, POWER),
     SET_INT_FB(CMD, 1)},
    {NAMED("powerstatus"), TITLE("Is it on?"), NAMES(ON_OFF), OF(LIGHT, POWER), GET_INT},
    {NAMED("powerlevel"), TITLE("Dim"), OF(LIGHT, LEVEL), SET_INT_FB(CMD, 100),
     .needs_dimmable = true},
    {NAMED("powerlevelstatus"), TITLE("How bright is it?"), OF(LIGHT, LEVEL), GET_INT,
     .needs_dimmable = true},
    {NAMED("updown"), TITLE("Move up or down"), NAMES(UP_DOWN), OF(BLIND, MOVEMENT),
     SET_INT(CMD, 1)},
    {NAMED("stop"), TITLE("Stop"), NAMES(STOP), OF(BLIND, STOP), .role = CONTROLLER_SET,
     TAKES(CMD, INTEGER), FROM_TO(1, 1)},
    {NAMED("heightlevel"), TITLE("Move to a height"), OF(BLIND, HEIGHT), SET_INT_FB(VAL, 100)},
    {NAMED("heightlevelstatus"), TITLE("How far down is it?"), OF(BLIND, HEIGHT), GET_INT},
    {NAMED("blindstep"), TITLE("Turn the slats a step"), NAMES(TURNS), OF(BLIND, STEP),
     SET_INT(CMD, 1)},
    {NAMED("blindangle"), TITLE("Turn the slats"), OF(BLIND, ANGLE), SET_INT_FB(CMD, 100)},
    {NAMED("blindanglestatus"), TITLE("How are the slats turned?"), OF(BLIND, ANGLE), GET_INT},
    {NAMED("setvalue"), TITLE("Set the value"), OF(ANALOG, VALUE), SET_DEC_FB},
    {NAMED("getvalue"), TITLE("What is the value?"), OF(ANALOG, VALUE), GET_DEC},
    {NAMED("actualtemp"), TITLE("How warm is it?"), OF(THERMOSTAT, TEMPERATURE), GET_DEC},
    {NAMED("setpoint"), TITLE("Set the wanted temperature"), OF(THERMOSTAT, SETPOINT), SET_DEC_FB},
    {NAMED("setpointstatus"), TITLE("Which temperature is wanted?"), OF(THERMOSTAT, SETPOINT),
     GET_DEC},
    {NAMED("tempmode"), TITLE("Choose the mode"), NAMES(TEMP_MODES), OF(THERMOSTAT, MODE),
     SET_INT_FB(CMD, 3)},
    {NAMED("tempmodestatus"), TITLE("Which mode is it in?"), NAMES(TEMP_MODES),
     OF(THERMOSTAT, MODE), GET_INT},
    {NAMED("chronoen"), TITLE("Follow the timetable or not"), NAMES(ON_OFF), OF(THERMOSTAT, CHRONO),
     SET_INT_FB(CMD, 1)},
    {NAMED("chronoenstatus"), TITLE("Does it follow the timetable?"), NAMES(ON_OFF),
     OF(THERMOSTAT, CHRONO), GET_INT},
    {NAMED("hvacpower"), TITLE("Switch on or off"), NAMES(ON_OFF), OF(HVAC, POWER),
     SET_INT_FB(CMD, 1)},
    {NAMED("hvacpowerstatus"), TITLE("Is it on?"), NAMES(ON_OFF), OF(HVAC, POWER), GET_INT},
    {NAMED("hvacsetpoint"), TITLE("Set the wanted temperature"), OF(HVAC, SETPOINT), SET_DEC_FB},
    {NAMED("hvacsetpointstatus"), TITLE("Which temperature is wanted?"), OF(HVAC, SETPOINT),
     GET_DEC},
    {NAMED("hvacmode"), TITLE("Choose the mode"), NAMES(HVAC_MODES), OF(HVAC, MODE),
     SET_INT_FB(CMD, 4)},
    {NAMED("hvacmodestatus"), TITLE("Which mode is it in?"), NAMES(HVAC_MODES), OF(HVAC, MODE),
     GET_INT},
    {NAMED("hvacfan"), TITLE("Choose the fan speed"), NAMES(FAN_SPEEDS), OF(HVAC, FAN),
     SET_INT_FB(CMD, 3)},
    {NAMED("hvacfanstatus"), TITLE("Which fan speed is it?"), NAMES(FAN_SPEEDS), OF(HVAC, FAN),
     GET_INT},
    {NAMED("scenelaunch"), TITLE("Launch or stop"), NAMES(STOP_LAUNCH), OF(SCENE, LAUNCH),
     SET_INT(CMD, 1)},
    {NAMED("trigger"), TITLE("Trigger"), OF(BUTTON, TRIGGER), .role = CONTROLLER_SET},
    {NAMED("system/sendKNXbit"), TITLE("Send a bit (DPT 1)"), TELEGRAM(INTEGER, 0, 1)},
    {NAMED("system/sendKNX4bits"), TITLE("Send 4 bits (DPT 2, DPT 3)"), TELEGRAM(INTEGER, 0, 31)},
    {NAMED("system/sendKNXbyte"), TITLE("Send an unsigned byte (DPT 5)"),
     TELEGRAM(INTEGER, 0, 255)},
    {NAMED("system/sendKNXbyteun"), TITLE("Send a signed byte (DPT 6)"),
     TELEGRAM(INTEGER, -128, 127)},
    {NAMED("system/sendKNXfloat2bytes"), TITLE("Send a 2-byte float (DPT 9)"),
     TELEGRAM(DECIMAL, DPT9_MIN, DPT9_MAX)},
    {NAMED("system/sendKNXfloat4bytes"), TITLE("Send a 4-byte float (DPT 14)"),
     TELEGRAM(DECIMAL, -DPT14_MAX, DPT14_MAX)},
    {NAMED("system/serverStatus"), TITLE("How is the server?"), OF(SYSTEM, SERVER),
     .role = CONTROLLER_GET, .target = CONTROLLER_TARGET_NONE, STATUS(SERVER)},
};
/* clang-format on */

#define N_CONTROLLERS (sizeof TABLE / sizeof TABLE[0])

static const char *const CLASS_NAMES[CONTROLLER_N_CLASSES] = {
    "light", "blind", "analog", "thermostat", "hvac", "scene", "button", "system",
};

const struct controller *controller_find(struct span name)
{
    for (size_t i = 0; i < N_CONTROLLERS; i++) {
        if (name.len == TABLE[i].name_len && memcmp(name.p, TABLE[i].name, name.len) == 0) {
            return &TABLE[i];
        }
    }
    return NULL;
}

size_t controller_count(void)
{
    return N_CONTROLLERS;
}

const struct controller *controller_at(size_t i)
{
    return &TABLE[i];
}

size_t controller_index(const struct controller *c)
{
    return (size_t)(c - TABLE);
}

const char *controller_class_name(enum controller_class device_class)
{
    return CLASS_NAMES[device_class];
}

int controller_class_parse(struct span name, enum controller_class *device_class)
{
    for (size_t i = 0; i < CONTROLLER_N_CLASSES; i++) {
        if (span_equal(name, span_of(CLASS_NAMES[i]))) {
            *device_class = (enum controller_class)i;
            return 0;
        }
    }
    return ERROR_NOT_FOUND;
}

const char *controller_param_name(enum controller_param param)
{
    switch (param) {
    case CONTROLLER_PARAM_CMD: return "cmd";
    case CONTROLLER_PARAM_VAL: return "val";
    case CONTROLLER_PARAM_VALUE: return "value";
    case CONTROLLER_PARAM_NONE: break;
    }
    return NULL;
}
