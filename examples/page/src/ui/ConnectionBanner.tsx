import { useChatClient, useConnection } from 'chat-service-react';
import { useEffect, useRef, useState } from 'react';
import { Button } from 'react-aria-components';
import { useAnnounce } from './Announcer';

/** Shown while there is no connection, though not for the moment in which a page connects first. */
export function ConnectionBanner() {
  const state = useConnection();
  const client = useChatClient();
  const announce = useAnnounce();
  const wasConnected = useRef(false);
  const isConnected = state.status === 'connected';
  const [isLate, setLate] = useState(false);

  useEffect(() => {
    if (isConnected) {
      if (wasConnected.current && isLate) announce('Connected again.');
      wasConnected.current = true;
      setLate(false);
      return;
    }
    const timer = setTimeout(() => setLate(true), wasConnected.current ? 700 : 3_000);
    return () => clearTimeout(timer);
  }, [isConnected, isLate, announce]);

  useEffect(() => {
    if (isLate) announce('The connection is lost. Messages you write are kept and sent later.');
  }, [isLate, announce]);

  if (state.status === 'stopped') {
    return (
      <div className="banner" data-kind="error">
        <span>The service ended the connection (code {state.code}).</span>
        <Button className="banner-button" onPress={() => location.reload()}>
          Reload
        </Button>
      </div>
    );
  }
  if (isConnected || !isLate) return null;
  return (
    <div className="banner">
      <span className="spinner" aria-hidden="true" />
      <span>
        Reconnecting … <span className="banner-more">Messages you write are kept and sent when the connection is back.</span>
      </span>
      <Button className="banner-button" onPress={() => client.reconnect()}>
        Try now
      </Button>
    </div>
  );
}
