// Notes the browser's time zone for the server, which writes all times.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) {
  document.cookie = `stele_tz=${zone}; path=/settings/security; max-age=31536000; samesite=lax`;
}
