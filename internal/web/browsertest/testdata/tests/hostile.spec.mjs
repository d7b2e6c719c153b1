// Events that want to be more than text.
import { test, expect, main, event } from '../stele.mjs';
import { hostile } from '../hostile.mjs';

test('a word of a million characters is refused at the door', async () => {
  const org = await main.organization();
  const word = 'W'.repeat(1_000_000);
  for (const event_ of [
    event({ actor: { type: 'user', id: 'u', name: word } }), event({ targets: [{ type: 'user', id: word }] }),
    event({ metadata: { note: word } }), event({ action: word }), event({ context: { location: '203.0.113.7', user_agent: word } }),
  ]) {
    const refused = await main.record(org, event_).then(() => null, (error) => error);
    expect(refused?.status).toBe(413);
    expect(JSON.parse(refused.body).code).toBe('too_large');
  }
  const one = await main.record(org, event({ metadata: { note: 'W'.repeat((16 << 10) + 1) } })).then(() => null, (error) => error);
  expect(one?.status).toBe(422);
  expect(JSON.parse(one.body).field).toBe('/metadata/note');
  expect(await main.entries(org)).toEqual([]);
});

test('what is valid is recorded as it was sent', async () => {
  const org = await main.organization('Hostile <b>Ltd</b>', hostile);
  const entries = await main.entries(org);
  const sent = new Map(hostile.map((e) => [e.action, e]));
  expect(entries.map((e) => e.action).sort()).toEqual([...sent.keys()].sort());
  for (const { action, actor, targets, metadata } of entries) {
    expect({ actor, targets, metadata }).toEqual({ metadata: undefined, ...pick(sent.get(action)) });
  }
});

const pick = ({ actor, targets, metadata }) => ({ actor, targets, metadata });
