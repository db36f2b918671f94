// Starts Chromium: the program that CHROMIUM names, or the system's.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const PROGRAMS = [process.env.CHROMIUM, '/usr/bin/chromium-headless-shell', '/usr/bin/chromium'];

export const launch = () => chromium.launch({ executablePath: PROGRAMS.find((path) => path && existsSync(path)), args: ['--no-sandbox'] });
