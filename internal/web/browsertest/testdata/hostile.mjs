// Events that want to be more than text. Each is valid: a product passes on what
// its users typed.
import { event } from './stele.mjs';

export const markup = '<img src=x onerror="alert(1)"><script>alert(2)</script>&lt;b&gt;';
export const override = '\u202Egnp.exe\u202C \u2067\u05D0\u05D1\u05D2\u2069';
export const long = 'L'.repeat(16 << 10);
export const word = 'https://evil.example/' + 'W'.repeat(3000);
const zalgo = 'Z' + '\u0301\u0316\u0334'.repeat(200) + 'algo';
const tall = Array.from({ length: 200 }, (_, i) => `line ${i}`).join('\n');

const user = (id, name, metadata) => ({ type: 'user', id, name, ...(metadata && { metadata }) });

export const hostile = [
  event({ action: 'account.created', actor: user(markup, markup), targets: [user('"><svg onload=alert(3)>', '{{.}} ${alert(4)} %s')] }),
  event({ action: '<script>alert(5)</script>.created', context: { location: '<b>10.0.0.1</b>', user_agent: markup } }),
  event({ action: 'vault.updated', actor: { type: '<i>user</i>', id: 'javascript:alert(6)', name: 'javascript:alert(7)' }, metadata: { '<u>key</u>': markup, before_name: '<a href="javascript:alert(8)">x</a>', after_name: '<style>*{display:none}</style>' } }),
  event({ action: 'file.renamed', actor: user('u_rtl', override), targets: [{ type: 'file', id: 'f_rtl', name: override }], metadata: { note: override } }),
  event({ action: 'account.renamed', actor: user('u_' + 'i'.repeat(2000), long.slice(0, 9000)), targets: [{ type: 'user', id: 'u_long', name: long }] }),
  event({ action: 'a'.repeat(200), actor: user('u_zalgo', zalgo), targets: [{ type: 'thing', id: 'tall', name: tall }], metadata: { tall, zalgo } }),
  event({ action: 'link.shared', actor: user('u_word', word), targets: [{ type: 'x'.repeat(1000), id: word, name: word }], context: { location: word, user_agent: word }, metadata: { [word.slice(0, 200)]: word, long } }),
  event({ action: 'group.changed', targets: Array.from({ length: 100 }, (_, i) => user(`u_${i}`, `Member ${i} ${markup}`)) }),
  event({ action: 'deep.nested', metadata: { a: { b: { c: [markup, 1, true, null, 'x'] } }, many: Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`key_${i}`, i])) } }),
  event({ action: 'null.prototype', metadata: { __proto__x: 1, constructor: 'c', toString: 't', hasOwnProperty: 'h' }, actor: user(' ', '\u200B'), targets: [user('\n', '\t')] }),
  event({ action: 'emoji.added', actor: user('u_👩‍👩‍👧‍👦', '👩‍👩‍👧‍👦 Zoë Ångström 张伟 محمد'), targets: [{ type: 'emoji', id: ':party:', name: '🎉'.repeat(300) }] }),
];
