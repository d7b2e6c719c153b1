import { defineConfig } from '@playwright/test';

// Servers and browser share whatever machine there is, with the race detector
// on: waits are generous, and end as soon as what they wait for is there.
const patience = Number(process.env.STELE_PATIENCE ?? 20_000);

export default defineConfig({
  testDir: 'tests',
  testMatch: '*.spec.mjs',
  outputDir: '../results',
  fullyParallel: true,
  forbidOnly: !!process.env.CI,
  workers: 2,
  retries: 0,
  timeout: 90_000,
  expect: { timeout: patience },
  reporter: 'list',
  use: {
    baseURL: process.env.STELE_URL,
    actionTimeout: patience,
    viewport: { width: 1280, height: 900 },
    timezoneId: 'Europe/Berlin',
    locale: 'en-GB',
    launchOptions: {
      executablePath: process.env.STELE_CHROMIUM,
      // Chromium's sandbox cannot be had by root.
      chromiumSandbox: process.getuid() !== 0,
    },
    trace: 'off',
  },
});
