/** Why a message cannot have the topic (MQTT 5 section 4.7), or undefined if it can. */
export function topicProblem(topic: string): string | undefined {
  if (topic === '') return 'its topic is empty';
  if (/[#+]/.test(topic)) return 'its topic has a wildcard in it';
  if (topic.includes('\0') || !topic.isWellFormed())
    return 'its topic has a character that no topic can have';
  if (Buffer.byteLength(topic) > 65_535) return 'its topic is longer than 65535 bytes';
  return undefined;
}
