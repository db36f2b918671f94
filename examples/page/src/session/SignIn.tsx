import { useEffect, useState } from 'react';
import { Button } from 'react-aria-components';
import { Avatar } from '../ui/Avatar';
import { Logo } from '../ui/icons';
import { type DevelopmentUser, developmentUsers, type Session } from './session';

/** Further ways to sign in, such as a form of the host, belong here, beside the list of development users. */
export function SignIn({ onSignIn }: { onSignIn(session: Session): void }) {
  const [users, setUsers] = useState<DevelopmentUser[]>();

  useEffect(() => {
    developmentUsers().then(setUsers, () => setUsers([]));
  }, []);

  return (
    <main className="sign-in">
      <div className="sign-in-card">
        <Logo className="logo" />
        <h1>Welcome to Chat</h1>
        {users === undefined && <p className="muted">Looking for development users …</p>}
        {users?.length === 0 && <NoUsers />}
        {users && users.length > 0 && (
          <>
            <p className="muted">Choose who you are. Open a second tab and choose another user to talk with yourself.</p>
            <ul className="people">
              {users.map((user) => (
                <li key={user.userId}>
                  <Button className="person" onPress={() => onSignIn(user)}>
                    <Avatar id={user.userId} name={user.name} />
                    <span>Continue as {user.name}</span>
                  </Button>
                </li>
              ))}
            </ul>
            <p className="hint">These users exist only on development servers.</p>
          </>
        )}
      </div>
    </main>
  );
}

function NoUsers() {
  return (
    <>
      <p>There is no way to sign in here yet.</p>
      <p className="muted">
        On a development machine <code>./dev up</code> makes users for this page. In a product, the host signs its users in and gives the page a token.
      </p>
    </>
  );
}
