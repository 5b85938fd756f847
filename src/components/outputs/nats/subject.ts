/** Why a message cannot be published to the subject, or undefined if it can. */
export function subjectProblem(subject: string): string | undefined {
  if (subject === '') return 'its subject is empty';
  if (/\s/.test(subject)) return 'its subject has white space in it';
  for (const token of subject.split('.')) {
    if (token === '') return 'its subject has an empty part between its dots';
    if (token === '*' || token === '>') return 'its subject has a wildcard in it';
  }
  return undefined;
}
