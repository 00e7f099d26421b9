/** What the user is told: what went wrong, why, and what to do next, one line each. */
export class Failure extends Error {
  constructor(title, detail, nextStep) {
    super(detail);
    Object.assign(this, { title, detail, nextStep });
  }
}
